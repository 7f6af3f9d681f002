import json
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.data.sets.coco import CocoPanoptic
from tests.data.coco_files import H, W, save_panoptic, write_panoptic
from tests.data.files import some


def official_zips(source, root, inner_compression):
    """The same data in COCO's official archives, nested as the download is."""
    root.mkdir()
    with zipfile.ZipFile(root / "val2017.zip", "w") as archive:
        archive.writestr("val2017/", b"")
        for file in sorted((source / "val2017").iterdir()):
            archive.write(file, f"val2017/{file.name}")
    with zipfile.ZipFile(root / "inner.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((source / "annotations" / "panoptic_val2017").iterdir()):
            archive.write(file, f"panoptic_val2017/{file.name}")
            archive.writestr(f"__MACOSX/panoptic_val2017/._{file.name}", b"junk")
    with zipfile.ZipFile(root / "panoptic_annotations_trainval2017.zip", "w") as archive:
        name = "annotations/panoptic_val2017"
        archive.write(source / f"{name}.json", f"{name}.json", zipfile.ZIP_DEFLATED)
        archive.write(root / "inner.zip", f"{name}.zip", inner_compression)
    (root / "inner.zip").unlink()


def test_small_set_is_read_as_written(tmp_path):
    write_panoptic(tmp_path)
    dataset = CocoPanoptic(tmp_path, "val")
    assert [(c.name, c.is_thing, c.category_id) for c in dataset.classes] == [
        ("cat", True, 7),
        ("sky", False, 200),
    ]
    image, segments = dataset.read(1)
    expected = np.full((H, W), -1)
    expected[:, :15] = 1
    expected[5:10, 5:20] = 0
    assert np.array_equal(segments.ids[0].numpy(), expected)
    assert segments.ids.dtype == torch.int16
    assert segments.labels.tolist() == [0, 1]
    assert segments.is_crowd.tolist() == [True, False]
    assert image.shape == (3, H, W)
    assert image.dtype == torch.uint8
    assert abs(int(image.float().mean()) - 80) <= 1
    assert dataset.image_ids.tolist() == [1, 2]
    assert dataset.sizes.tolist() == [[H, W]] * 2


@pytest.mark.parametrize("split", ["train", "val"])
def test_images_agree_with_the_annotation_file(coco, split):
    dataset = CocoPanoptic(coco, split)
    content = json.loads((coco / f"annotations/panoptic_{split}2017.json").read_text())
    assert len(dataset) == len(content["images"])
    category_ids = [category["id"] for category in content["categories"]]
    assert [info.category_id for info in dataset.classes] == category_ids
    by_image = {entry["image_id"]: entry for entry in content["annotations"]}
    for index in some(dataset):
        entry = by_image[int(dataset.image_ids[index])]
        image, segments = dataset.read(index)
        ids = segments.ids[0].numpy()
        assert tuple(dataset.sizes[index]) == ids.shape
        for number, info in enumerate(entry["segments_info"]):
            rows, columns = np.nonzero(ids == number)
            x, y, width, height = info["bbox"]
            assert len(rows) == info["area"]
            assert (columns.min(), rows.min()) == (x, y)
            assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (width, height)
            assert category_ids[segments.labels[number]] == info["category_id"]
            assert segments.is_crowd[number] == bool(info["iscrowd"])
        assert (ids >= 0).sum() == sum(info["area"] for info in entry["segments_info"])
        file = coco / f"{split}2017" / entry["file_name"].replace("png", "jpg")
        reference = np.asarray(Image.open(file).convert("RGB"))
        assert np.array_equal(image.permute(1, 2, 0).numpy(), reference)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_official_zips_read_as_the_folder(tmp_path, coco, compression):
    official_zips(coco, tmp_path / "zips", compression)
    folder, zips = CocoPanoptic(coco, "val"), CocoPanoptic(tmp_path / "zips", "val")
    assert np.array_equal(folder.image_ids, zips.image_ids)
    for index in some(folder):
        image, segments = folder.read(index)
        zipped_image, zipped_segments = zips.read(index)
        assert torch.equal(image, zipped_image)
        assert torch.equal(segments.ids, zipped_segments.ids)
        assert torch.equal(segments.labels, zipped_segments.labels)


def test_folders_and_zips_mix(tmp_path):
    write_panoptic(tmp_path / "folder")
    official_zips(tmp_path / "folder", tmp_path / "mixed", zipfile.ZIP_STORED)
    (tmp_path / "mixed" / "val2017.zip").unlink()
    shutil.copytree(tmp_path / "folder" / "val2017", tmp_path / "mixed" / "val2017")
    assert len(CocoPanoptic(tmp_path / "mixed", "val")) == 2


@pytest.mark.parametrize(
    ("part", "layout"),
    [
        ("val2017", r"no images .*val2017/, or val2017\.zip"),
        ("annotations/panoptic_val2017.json", r"no panoptic annotation file .*trainval2017\.zip"),
        ("annotations/panoptic_val2017", r"no panoptic PNGs .*panoptic_val2017\.zip"),
    ],
)
def test_missing_part_is_named_with_the_layouts(tmp_path, part, layout):
    write_panoptic(tmp_path)
    (tmp_path / part).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=layout) as raised:
        CocoPanoptic(tmp_path, "val")
    assert str(tmp_path) in str(raised.value)


def test_missing_file_is_named_when_the_set_is_opened(tmp_path):
    write_panoptic(tmp_path)
    (tmp_path / "val2017" / "2.jpg").unlink()
    with pytest.raises(DataError, match=r"2\.jpg: missing"):
        CocoPanoptic(tmp_path, "val")


@pytest.mark.parametrize("file", ["val2017/1.jpg", "annotations/panoptic_val2017/1.png"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage"])
def test_damaged_picture_is_named(tmp_path, file, damage):
    write_panoptic(tmp_path)
    path = tmp_path / file
    data = path.read_bytes()
    path.write_bytes(
        {"truncated": data[: len(data) // 2], "empty": b"", "garbage": b"x" * 99}[damage]
    )
    with pytest.raises(DataError, match="cannot be decoded") as raised:
        CocoPanoptic(tmp_path, "val").read(0)
    assert str(path) in str(raised.value)


def test_sizes_that_differ_are_refused(tmp_path):
    write_panoptic(tmp_path)
    for file in ("val2017/1.jpg", "annotations/panoptic_val2017/2.png"):
        Image.new("RGB", (W + 1, H)).save(tmp_path / file)
    dataset = CocoPanoptic(tmp_path, "val")
    for index, name in enumerate(("1.jpg", "2.png")):
        with pytest.raises(DataError, match=rf"{name}: is 20 × 31 .*says 20 × 30"):
            dataset.read(index)


def test_unknown_segment_id_is_named(tmp_path):
    write_panoptic(tmp_path)
    path = tmp_path / "annotations/panoptic_val2017/1.png"
    colours = np.array(Image.open(path))
    colours[0, 0] = (9, 1, 0)
    Image.fromarray(colours).save(path)
    with pytest.raises(DataError, match=r"1\.png: holds the segment id 265 .*val2017\.json"):
        CocoPanoptic(tmp_path, "val").read(0)


def test_png_without_three_channels_is_refused(tmp_path):
    write_panoptic(tmp_path)
    Image.new("L", (W, H)).save(tmp_path / "annotations/panoptic_val2017/1.png")
    with pytest.raises(DataError, match=r"1\.png: is a PNG of mode L"):
        CocoPanoptic(tmp_path, "val").read(0)


def set_at(content, path, value):
    *parents, last = path
    for key in parents:
        content = content[key]
    if value is None:
        del content[last]
    else:
        content[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["annotations", 1, "segments_info", 0, "category_id"], 5, r"2\.png: category_id 5"),
        (["annotations", 1, "segments_info", 0, "id"], 0, "0 is void"),
        (["annotations", 1, "segments_info", 0, "id"], 1 << 24, "2\\^24"),
        (["annotations", 1, "segments_info", 0, "id"], 197121, "repeat"),
        (["annotations", 1, "segments_info"], None, "lacks the field 'segments_info'"),
        (["annotations", 1, "segments_info"], "x", r"annotations\[1\]"),
        (["annotations", 1, "image_id"], 77, "not among the images"),
        (["annotations", 1, "image_id"], 1, "twice"),
        (["annotations", 1, "file_name"], "../../x.png", "no file name below"),
        (["images", 1, "file_name"], "/etc/passwd", "no file name below"),
        (["images", 1, "height"], -1, r"images\[1\]"),
        (["images", 1, "id"], 1, "twice"),
        (["categories", 1, "isthing"], None, "lacks the field 'isthing'"),
        (["categories", 1, "id"], 7, "twice"),
        (["categories"], None, "no list 'categories'"),
    ],
)
def test_wrong_entry_is_named(tmp_path, path, value, message):
    content = write_panoptic(tmp_path)
    set_at(content, path, value)
    save_panoptic(tmp_path, content)
    with pytest.raises(DataError, match=message) as raised:
        CocoPanoptic(tmp_path, "val")
    assert "panoptic_val2017.json" in str(raised.value)


@pytest.mark.parametrize("text", ["{", "", "[1]", "\udcff", "[" * 100_000])
def test_malformed_json_is_named(tmp_path, text):
    write_panoptic(tmp_path)
    path = tmp_path / "annotations" / "panoptic_val2017.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"panoptic_val2017\.json: (is no valid JSON|has no list)"):
        CocoPanoptic(tmp_path, "val")


def test_images_without_segments(tmp_path):
    content = write_panoptic(tmp_path, images=3)
    content["annotations"][1]["segments_info"] = []
    del content["annotations"][2]
    save_panoptic(tmp_path, content)
    with pytest.warns(UserWarning, match=r"2 image\(s\) have no segments, the first is .*2\.jpg"):
        dataset = CocoPanoptic(tmp_path, "val")
    assert dataset.image_ids.tolist() == [1]
    assert len(CocoPanoptic(tmp_path, "val", on_empty="keep")) == 3


def test_unknown_choices(tmp_path):
    with pytest.raises(ConfigurationError, match="split='test'"):
        CocoPanoptic(tmp_path, "test")
