"""Names, numbers and pictures as cameras, other programs and other systems write them."""

import io
import json
import os
import unicodedata
import zipfile

import numpy as np
import pytest
from PIL import Image

from eomtlib.commands import main
from eomtlib.core.errors import DataError
from eomtlib.data.decoding.image_files import image_files, image_pixels
from eomtlib.data.registry import open_dataset
from eomtlib.inference.segmenter import _pixels

SIZE = (16, 24)
ORIENTATION = 0x0112


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path / "cache"))


def disc(number=0):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return ((rows - 8) ** 2 + (columns - 8 - number) ** 2 < 20).astype(np.uint8)


def write_masks(root, *, count=3, splits=("train", "val"), write=None):
    """Discs on grounds; ``write(path, mask)`` writes a mask otherwise than as grey of 8 bits."""
    for split in splits:
        for number in range(count):
            mask = disc(number + 3 * (split == "val"))
            for part, pixels in (("images", 50 + 150 * mask), ("masks", mask)):
                path = root / part / split / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                if part == "masks" and write:
                    write(path, mask)
                else:
                    Image.fromarray(pixels).save(path)
    classes = [{"name": name, "isthing": 0, "id": k} for k, name in enumerate(("ground", "disc"))]
    (root / "classes.json").write_text(json.dumps(classes))
    return root


def write_instances(root, *, change=lambda content: None, file_name="{}.png"):
    """The same with outlines."""
    for split in ("train", "val"):
        folder = root / "images" / split
        folder.mkdir(parents=True, exist_ok=True)
        content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "disc"}]}
        for number in range(3):
            Image.fromarray(50 + 150 * disc(number)).save(folder / f"{number}.png")
            size = {"height": SIZE[0], "width": SIZE[1]}
            content["images"].append({"id": number, "file_name": f"{number}.png"} | size)
            outline = [4.0 + number, 4, 12 + number, 4, 12 + number, 12]
            own = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0}
            content["annotations"].append(own | {"segmentation": [outline]})
        change(content)
        (root / f"{split}.json").write_text(json.dumps(content))
    return root


def opened(root, task="semantic", split="val", **options):
    return open_dataset("custom", split, task=task, data_path=root, **options)


def read(root, task="semantic", **options):
    dataset = opened(root, task, **options)
    return [dataset.read(index) for index in range(len(dataset))]


def same(first, second):
    for (image, own), (other, theirs) in zip(first, second, strict=True):
        assert np.array_equal(image, other)
        assert np.array_equal(own.ids, theirs.ids)
        assert own.labels.tolist() == theirs.labels.tolist()
        assert own.is_crowd.tolist() == theirs.is_crowd.tolist()


# Masks


def grey_of(bits):
    """A PNG of grey with few bits, which Pillow does not write: through palettes of that many."""

    def write(path, mask):
        # The palette's header and rows are those of grey, but for the kind of colour.
        picture = Image.fromarray(mask * (2**bits - 1) if bits < 8 else mask, "P")
        picture.putpalette([value for k in range(2**bits) for value in (k, k, k)])
        file = io.BytesIO()
        picture.save(file, "PNG", bits=bits)
        path.write_bytes(_as_grey(file.getvalue()))

    return write


def _as_grey(data):
    """Without palette, its header of kind 0."""
    import struct
    import zlib

    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IHDR":
            content = content[:9] + b"\0" + content[10:]
        if kind not in (b"PLTE", b"tRNS"):
            chunks.append((kind, content))
    return data[:8] + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def with_alpha(path, mask):
    Image.merge("LA", (Image.fromarray(mask), Image.new("L", SIZE[::-1], 9))).save(path)


def with_palette(path, mask):
    picture = Image.fromarray(mask, "P")
    picture.putpalette([7, 8, 9, 200, 100, 0])
    picture.save(path, bits=1)


def of_16_bits(path, mask):
    Image.fromarray(mask.astype(np.uint16)).save(path)


def one_bit(path, mask):
    Image.fromarray(mask.astype(bool)).save(path)


def in_upper_case(path, mask):
    Image.fromarray(mask).save(path.with_suffix(".PNG"))


@pytest.mark.parametrize("write", [with_alpha, with_palette, of_16_bits, one_bit, in_upper_case])
def test_masks_are_read_by_their_stored_numbers(write, tmp_path):
    same(read(write_masks(tmp_path / "odd", write=write)), read(write_masks(tmp_path / "plain")))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_is_not_spread_over_a_byte(bits, tmp_path):
    root = write_masks(tmp_path, write=grey_of(bits))
    classes = [{"name": str(k), "isthing": 0, "id": k} for k in range(2**bits)]
    (root / "classes.json").write_text(json.dumps(classes))
    for number, (_, segments) in enumerate(read(root)):
        shown = np.array(segments.labels)[segments.ids[0]]
        assert np.array_equal(shown, disc(number + 3) * (2**bits - 1))


def test_masks_in_colour_are_refused_with_the_way_out(tmp_path):
    root = write_masks(tmp_path, write=lambda p, m: Image.fromarray(m).convert("RGB").save(p))
    with pytest.raises(DataError, match=r"0\.png: is a PNG of mode RGB.*write for each colour"):
        read(root)


# Pictures


@pytest.mark.parametrize("kind", ["tif", "webp", "bmp", "TIFF"])
def test_images_of_other_formats_are_trained_on(kind, tmp_path):
    root = write_masks(tmp_path)
    before = read(root)
    for path in (root / "images/val").iterdir():
        Image.open(path).save(path.with_suffix(f".{kind}"), lossless=True)
        path.unlink()
    same(read(root), before)


def test_sixteen_bits_are_scaled_and_floats_refused(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
        pixels = image_pixels(tmp_path / name)
        assert np.array_equal(pixels[..., 0].ravel(), np.arange(256))
        assert np.array_equal(pixels[..., 0], pixels[..., 2])
    Image.fromarray(ramp.astype(np.float32) / 65535).save(tmp_path / "b.tif")
    with pytest.raises(DataError, match=r"b\.tif: holds floats from 0 to 1 .*which is white"):
        image_pixels(tmp_path / "b.tif")


@pytest.mark.parametrize("number", range(1, 9))
def test_photographs_are_turned_as_they_were_seen_by_whoever_annotated_them(number, tmp_path):
    root = write_masks(tmp_path / "set", splits=("val",))
    upright = read(root)
    turns = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}[number]
    for path in sorted((root / "images/val").iterdir()):
        picture = Image.open(path)
        for turn in turns:  # as a camera stores what is seen upright
            picture = picture.transpose(turn)
        exif = Image.Exif()
        exif[ORIENTATION] = number
        picture.save(path, exif=exif)
    same(read(root), upright)
    photo = root / "images/val/0.png"
    for pixels in (image_pixels(photo, upright=True), _pixels(photo).permute(1, 2, 0)):
        assert np.array_equal(pixels, upright[0][0].permute(1, 2, 0))
    if number >= 5:
        with pytest.raises(DataError, match=r"0\.png: is 24 × 16 .*says 16 × 24"):
            read(root, exif="ignore")
    elif number > 1:
        assert not np.array_equal(read(root, exif="ignore")[1][0], upright[1][0])
        assert opened(root).digest() != opened(root, exif="ignore").digest()


def test_an_annotation_of_the_stored_pixels_is_refused_with_both_sizes(tmp_path):
    root = write_masks(tmp_path, splits=("val",))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = root / "images/val/0.png"
    Image.open(path).save(path, exif=exif)
    said = (
        r"is 24 × 16, turned by its EXIF orientation 6 from 16 × 24 .*says 16 × 24.*exif='ignore'"
    )
    with pytest.raises(DataError, match=said):
        read(root)
    assert len(read(root, exif="ignore")) == 3


def test_a_large_photograph_is_read_where_its_annotation_says_so(tmp_path):
    path = tmp_path / "large.png"
    Image.new("1", (14_000, 14_000)).save(path)
    pixels = image_pixels(path, size=(14_000, 14_000))
    assert pixels.shape == (14_000, 14_000, 3)
    with pytest.raises(DataError, match=r"large\.png: is 14000 × 14000 .*says 10 × 10"):
        image_pixels(path, size=(10, 10), json_name="list.json", where=str(path))


def test_what_pillow_would_hand_to_another_program_is_not_opened(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(DataError, match=r"a\.png: cannot be decoded \(none of \.jpg"):
        image_pixels(path)


# Names


def linked(root):
    away = root.parent / "elsewhere"
    away.mkdir()
    for number in range(3):
        (root / "images/val" / f"{number}.png").rename(away / f"{number}.png")
    (root / "images/val/part").symlink_to(away)
    (away / "back").symlink_to(root / "images/val")  # and round again


def test_linked_folders_are_followed_and_cycles_noticed(tmp_path):
    root = write_instances(tmp_path / "set")
    before = read(root, "instance")
    linked(root)
    content = json.loads((root / "val.json").read_text())
    for image in content["images"]:
        image["file_name"] = f"part/{image['file_name']}"
    (root / "val.json").write_text(json.dumps(content))
    same(read(root, "instance"), before)
    assert len(image_files([root / "images/val"], subfolders=True)) == 3


def hidden(root):
    for folder in ("images/val", "masks/val"):
        (root / folder / "._0.png").write_bytes(b"\0\5\x16\7")
        (root / folder / "__MACOSX").mkdir()
        (root / folder / "__MACOSX" / "._1.png").write_bytes(b"\0\5\x16\7")


def not_utf8(root):
    name = os.fsencode(root / "images/val") + b"/caf\xe9.png"
    with open(name, "wb") as file:
        file.write(b"nothing")


@pytest.mark.parametrize("litter", [hidden, not_utf8])
def test_what_lies_beside_the_images_is_passed_over(litter, tmp_path):
    root = write_masks(tmp_path)
    before = read(root)
    litter(root)
    same(read(root), before)


@pytest.mark.parametrize(
    ("listed", "stored"),
    [
        ("./{}.png", "{}.png"),
        ("part\\{}.png", "part/{}.png"),
        ("2024-01-01T12:00:{}.png", "2024-01-01T12:00:{}.png"),
        (
            unicodedata.normalize("NFC", "Übung {}.png"),
            unicodedata.normalize("NFD", "Übung {}.png"),
        ),
    ],
)
def test_names_are_matched_however_they_are_spelled(listed, stored, tmp_path):
    root = write_instances(tmp_path)
    before = read(root, "instance")
    content = json.loads((root / "val.json").read_text())
    for number, image in enumerate(content["images"]):
        image["file_name"] = listed.format(number)
        target = root / "images/val" / stored.format(number)
        target.parent.mkdir(exist_ok=True)
        (root / "images/val" / f"{number}.png").rename(target)
    (root / "val.json").write_text(json.dumps(content))
    same(read(root, "instance"), before)


def test_an_empty_folder_does_not_hide_a_whole_zip(tmp_path, one_coco):
    root = tmp_path / "coco"
    (root / "val2017").mkdir(parents=True)
    (root / "annotations").symlink_to(one_coco / "annotations")
    with zipfile.ZipFile(root / "val2017.zip", "w") as archive:
        for path in sorted((one_coco / "val2017").iterdir()):
            archive.write(path, f"val2017/{path.name}")
    assert len(open_dataset("coco", "val", data_path=root))
    first = sorted((one_coco / "val2017").iterdir())[0]
    (root / "val2017" / first.name).write_bytes(first.read_bytes())
    with pytest.raises(DataError, match=r"missing.*remove the folder to have .*val2017\.zip read"):
        open_dataset("coco", "val", data_path=root)


# Numbers


@pytest.mark.parametrize(
    "change",
    [
        lambda c: [
            a.update(iscrowd="0", category_id="1", image_id=str(a["image_id"]))
            for a in c["annotations"]
        ],
        lambda c: [i.update(id=str(i["id"])) for i in c["images"]],
        lambda c: [a.update(segmentation=a["segmentation"][0]) for a in c["annotations"]],
        lambda c: [a.update(id=7) for a in c["annotations"]],
        lambda c: c["categories"].insert(0, {"id": 0, "name": "disc"}),
        lambda c: (
            c["categories"][0].update(supercategory="shapes"),
            c["categories"].insert(0, {"id": 0, "name": "shapes", "supercategory": "none"}),
        ),
    ],
    ids=[
        "numbers as texts",
        "ids as texts",
        "flat polygons",
        "ids repeat",
        "name of a root",
        "a root",
    ],
)
def test_annotations_as_other_programs_export_them(change, tmp_path):
    plain = read(write_instances(tmp_path / "plain"), "instance")
    same(read(write_instances(tmp_path / "odd", change=change), "instance"), plain)


def test_a_byte_order_mark_is_no_part_of_json(tmp_path):
    root = write_instances(tmp_path / "a")
    before = read(root, "instance")
    for path in root.glob("*.json"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    same(read(root, "instance"), before)
    masks = write_masks(tmp_path / "b")
    path = masks / "classes.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(masks)) == 3


@pytest.mark.parametrize(
    ("counts", "said"),
    [([0.5] * 2 * SIZE[0] * SIZE[1], "must be whole numbers"), ([True, 383], None)],
)
def test_run_lengths_are_whole(counts, said, tmp_path):
    def change(content):
        content["annotations"][0]["segmentation"] = {"size": list(SIZE), "counts": counts}

    root = write_instances(tmp_path, change=change)
    if said:
        with pytest.raises(DataError, match=said):
            read(root, "instance")
    else:
        assert len(read(root, "instance")) == 3


@pytest.mark.parametrize("value", [2, "yes", [], 0.5])
def test_a_flag_that_is_none_is_refused(value, tmp_path):
    root = write_instances(tmp_path, change=lambda c: c["annotations"][1].update(iscrowd=value))
    with pytest.raises(DataError, match=r"annotations\[1\]"):
        read(root, "instance")


# Splits


def test_classes_in_another_order_are_matched_and_others_named(tmp_path):
    def two(content, order):
        content["categories"] = [{"id": k, "name": f"class {k}"} for k in order]

    root = write_instances(tmp_path, change=lambda c: two(c, (1, 2)))
    content = json.loads((root / "val.json").read_text())
    two(content, (2, 1))
    (root / "val.json").write_text(json.dumps(content))
    from eomtlib.data.task_views import in_order_of

    train, val = opened(root, "instance", "train"), opened(root, "instance")
    assert train.classes != val.classes
    ordered = in_order_of(val, train.classes)
    assert ordered.classes == train.classes
    assert ordered.read(0)[1].labels.tolist() == train.read(0)[1].labels.tolist() == [0]
    two(content, (1, 3))
    (root / "val.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"training alone has 'class 2' \(id 2\); validation alone"):
        in_order_of(opened(root, "instance"), train.classes)


def check(root, capsys, *options):
    status = main(["check-data", "--dataset", "custom", "--data-path", str(root), *options])
    return status, capsys.readouterr().out


def test_what_fit_would_regret_is_said_by_check_data(tmp_path, capsys):
    masks = write_masks(tmp_path / "masks", write=lambda p, m: Image.fromarray(m * 255).save(p))
    status, said = check(masks, capsys)
    assert status == 0
    assert "note: train: 1 of 2 classes have no segment: disc (id 1); void (255" in said

    twice = write_masks(tmp_path / "twice")
    first = (twice / "images/train/0.png").read_bytes()
    (twice / "images/val/9.png").write_bytes(first)
    (twice / "masks/val/9.png").write_bytes((twice / "masks/train/0.png").read_bytes())
    status, said = check(twice, capsys, "--workers", "2")
    assert status == 1
    assert "1 of 4 val image(s) are training images, the first is" in said
    assert "9.png" in said

    turned = write_masks(tmp_path / "turned")
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    Image.open(turned / "images/val/0.png").save(turned / "images/val/0.png", exif=exif)
    assert "note: val: 1 of 3 image(s) have an EXIF orientation" in check(turned, capsys)[1]

    def other(content):
        content["categories"].append({"id": len(content["images"][0]["file_name"]), "name": "x"})

    differ = write_instances(tmp_path / "differ")
    content = json.loads((differ / "val.json").read_text())
    other(content)
    (differ / "val.json").write_text(json.dumps(content))
    status, said = check(differ, capsys)
    assert "classes differ: training and validation list other classes: validation alone" in said
    assert status == 1


def test_no_room_is_made_for_a_size_that_no_image_confirms(tmp_path, capsys):
    def huge(content):
        content["images"][0].update(height=65_535, width=65_535)

    status, said = check(write_instances(tmp_path, change=huge), capsys)
    assert status == 1
    assert said.count("size mismatch: ") == 2  # one in each split


# Skipping


def broken_image(root):
    path = root / "images/val/1.png"
    path.write_bytes(path.read_bytes()[:60])


def missing_image(root):
    (root / "images/val/1.png").unlink()


def bad_entry(root):
    content = json.loads((root / "val.json").read_text())
    content["annotations"][1]["segmentation"] = [[1, 2, 3, 4]]
    (root / "val.json").write_text(json.dumps(content))


@pytest.mark.parametrize("damage", [broken_image, missing_image, bad_entry])
def test_images_with_anything_wrong_are_skipped_and_counted(damage, tmp_path):
    root = write_instances(tmp_path)
    whole = opened(root, "instance", on_bad="skip")
    assert (len(whole), whole.skipped) == (3, 0)
    digest = whole.digest()
    assert digest == opened(root, "instance").digest()
    kept = [whole.read(index) for index in (0, 2)]
    damage(root)
    with pytest.raises(DataError):
        read(root, "instance")
    for _ in range(2):  # found out, then remembered
        rest = opened(root, "instance", on_bad="skip")
        assert (len(rest), rest.skipped) == (2, 1)
        same([rest.read(0), rest.read(1)], kept)
        assert rest.digest() != digest


def test_nothing_is_left_where_all_is_damaged(tmp_path):
    root = write_instances(tmp_path)
    for path in (root / "images/val").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"of no image everything can be read; see eomtlib check"):
        opened(root, "instance", on_bad="skip")
