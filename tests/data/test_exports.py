"""Data sets as annotation tools export them, converted and read, beside what was drawn."""

import base64
import json
import shutil
import zipfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

from eomtlib.commands import main
from eomtlib.core.errors import ConfigurationError
from eomtlib.data.exports.conversion import convert
from eomtlib.data.formats.image_lists import read_image_ids
from eomtlib.data.registry import open_dataset
from tests.data import export_files
from tests.data.export_files import BORDER, DRAWN, LABELS, SIZE, WRITERS, replace, voc_maps
from tests.data.files import masks_of, noise, write_image

EXPORTS = Path(__file__).parents[1] / "fixtures/exports"
LABELME, XML, IMAGE = "val/first.json", "annotations.xml", "first.jpg"
OF_OBJECTS = [form for form in WRITERS if form != "voc"]


def converted(root, form="auto", **options):
    """What is written, and what was said."""
    said = []
    output = root.parent / "converted"
    convert(root, output, form=form, say=said.append, **options)
    return output, said


def opened(folder, split, task="instance"):
    with pytest.warns(UserWarning, match="no segments") if split == "train" else nullcontext():
        return open_dataset("custom", split, task=task, data_path=folder)


def from_maps(folder, split):
    return open_dataset("custom", split, task="instance", data_path=folder)


def found_in(dataset):
    """Image → label, crowd and mask of each segment."""
    found = {}
    for index in range(len(dataset)):
        image, segments = dataset.read(index)
        assert image.shape == (3, *SIZE)
        labels = [dataset.classes[k].name for k in segments.labels]
        own = zip(labels, segments.is_crowd.tolist(), masks_of(segments), strict=True)
        found[dataset.source(index)[1]] = list(own)
    return found


def overlap(first, second):
    return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize("form", OF_OBJECTS)
@pytest.mark.parametrize("named", [False, True], ids=["auto", "named"])
def test_objects_are_those_that_were_drawn(tmp_path, form, named):
    WRITERS[form](tmp_path / "set")
    folder, _ = converted(tmp_path / "set", form if named else "auto")
    worst = 1.0
    for split, images in DRAWN.items():
        dataset = opened(folder, split)
        assert [info.name for info in dataset.classes] == list(LABELS)
        assert all(info.is_thing for info in dataset.classes)
        found = found_in(dataset)
        assert found.keys() == {name for name, shapes in images.items() if shapes}
        for name, segments in found.items():
            shapes = images[name]
            assert [label for label, _, _ in segments] == [shape.label for shape in shapes]
            if form != "yolo":  # which knows no crowds
                assert [crowd for _, crowd, _ in segments] == [s.is_crowd for s in shapes]
            for (_, _, mask), shape in zip(segments, shapes, strict=True):
                worst = min(worst, overlap(mask, shape.mask()))
    print(f"{form}: {worst:.4f}")
    assert worst >= 0.98


def visible(shapes, number, form):
    """A shape's mask: of VOC's maps what nothing later hides."""
    later = [shape.mask() for shape in shapes[number + 1 :]] if form == "voc" else []
    return shapes[number].mask() & ~np.any([np.zeros(SIZE, bool), *later], 0)


@pytest.mark.parametrize("form", ["cvat", "coco", "voc", "yolo"])
def test_what_kept_libraries_write_is_read(tmp_path, form):
    """Files of ``tests.fixtures.write_exports``, by Datumaro and Supervision."""
    with zipfile.ZipFile(EXPORTS / f"{form}.zip") as archive:
        archive.extractall(tmp_path / "set")
    # Supervision writes OpenCV's contours, which run through the outermost pixels.
    folder, _ = converted(tmp_path / "set", corners="centres" if form == "yolo" else "edges")
    worst = 1.0
    for split, images in DRAWN.items():
        # Of a map, an image without objects is background, and no warning is due.
        dataset = opened(folder, split) if form != "voc" else from_maps(folder, split)
        found = found_in(dataset)
        for name, shapes in images.items():
            own = name.rpartition("/")[2] if form == "yolo" else name
            segments = found.get(own, [])
            if form != "yolo":  # there, each part of an object is one
                assert sorted(label for label, _, _ in segments) == sorted(s.label for s in shapes)
            if form == "coco":
                assert [crowd for _, crowd, _ in segments] == [s.is_crowd for s in shapes]
            for number, shape in enumerate(shapes):
                mask = visible(shapes, number, form)
                close = [overlap(m, mask) for label, _, m in segments if label == shape.label]
                worst = min(
                    worst, max(close, default=0) if len(shape.parts) == 1 or form != "yolo" else 1
                )
    print(f"{form}: {worst:.4f}")
    assert worst > 0.98


@pytest.mark.parametrize("labelmap", [True, False])
def test_pascal_voc_has_void_borders_and_serves_every_task(tmp_path, labelmap):
    export_files.write_voc(tmp_path / "set", labelmap=labelmap)
    folder, _ = converted(tmp_path / "set")
    names = ("background", *LABELS) if labelmap else ("background", "aeroplane", "bicycle", "bird")
    for split, images in DRAWN.items():
        datasets = {
            task: open_dataset("custom", split, task=task, data_path=folder)
            for task in ("panoptic", "instance", "semantic")
        }
        assert datasets["panoptic"].classes[0].name == "background"
        assert not datasets["panoptic"].classes[0].is_thing
        for index in range(len(images)):
            name = datasets["panoptic"].source(index)[1]
            classes, objects = voc_maps(images[name])
            for task, dataset in datasets.items():
                segments = dataset.read(index)[1]
                assert np.array_equal((segments.ids < 0).all(0), void(classes, task))
                labels = [dataset.classes[k].name for k in segments.labels]
                masks = masks_of(segments)
                for label, mask in zip(labels, masks, strict=True):
                    assert (classes[mask] == names.index(label)).all()
                    assert task == "semantic" or len(np.unique(objects[mask])) == 1
                background = task != "instance"
                number = len(np.unique(classes[classes < BORDER]))
                count = number if task == "semantic" else len(images[name]) + background
                assert len(labels) == count


def void(classes, task):
    return (classes == BORDER) | ((classes == 0) if task == "instance" else False)


def test_pascal_voc_without_objects_is_semantic(tmp_path):
    export_files.write_voc(tmp_path / "set", objects=False)
    folder, _ = converted(tmp_path / "set")
    dataset = open_dataset("custom", "val", task="semantic", data_path=folder)
    classes, _ = voc_maps(DRAWN["val"]["first.jpg"])
    segments = dataset.read(0)[1]
    shown = np.unique(classes[classes < BORDER])
    assert segments.labels.tolist() == shown.tolist()
    assert np.array_equal(masks_of(segments), [classes == k for k in shown])


@pytest.mark.parametrize("form", OF_OBJECTS)
def test_images_are_the_same_bytes(tmp_path, form):
    WRITERS[form](tmp_path / "set")
    folder, _ = converted(tmp_path / "set")
    for split, images in DRAWN.items():
        for name in images:
            (source,) = (tmp_path / "set").rglob(name)
            written = folder / "images" / split / name
            assert written.read_bytes() == source.read_bytes()
            assert not written.is_symlink()


def test_a_val_split_is_asked_for_where_there_is_none(tmp_path):
    export_files.write_cvat(tmp_path / "set", subsets=False)
    with pytest.raises(ConfigurationError, match=r"no val split.*--val-share 0\.1"):
        converted(tmp_path / "set")
    counts = convert(tmp_path / "set", tmp_path / "out", val_share=0.25, say=lambda _: None)
    assert {split: own.images for split, own in counts.items()} == {"train": 3, "val": 1}
    alone = convert(tmp_path / "set", tmp_path / "alone", val_share=0, say=lambda _: None)
    assert list(alone) == ["train"]
    with pytest.raises(ConfigurationError, match=r"val_share=1 must lie in \[0, 1\)"):
        convert(tmp_path / "set", tmp_path / "other", val_share=1)


def test_a_split_that_is_there_stays(tmp_path):
    export_files.write_yolo(tmp_path / "set")
    with pytest.raises(ConfigurationError, match="has its own val"):
        converted(tmp_path / "set", val_share=0.5)


def test_a_test_split_without_labels_is_images_alone(tmp_path):
    export_files.write_yolo(tmp_path / "set")
    write_image(tmp_path / "set/images/test/t.jpg", noise(SIZE, 255, 1, (3,)))
    path = tmp_path / "set/data.yaml"
    path.write_text(path.read_text() + "test: images/test\n")
    folder, _ = converted(tmp_path / "set")
    assert (folder / "images/test/t.jpg").is_file()
    assert read_image_ids(folder / "test.json") == {"t.jpg": 1}
    assert "annotations" not in json.loads((folder / "test.json").read_text())


def test_a_path_of_another_machine_finds_the_image_that_came_along(tmp_path):
    export_files.write_labelme(tmp_path / "set")
    replace(LABELME, f'"{IMAGE}"', f'"C:\\\\photos\\\\{IMAGE}"')(tmp_path / "set")
    replace("train/empty.json", '"empty.jpg"', '"../../elsewhere/empty.jpg"')(tmp_path / "set")
    folder, _ = converted(tmp_path / "set")
    assert (folder / "images/val" / IMAGE).is_file()
    assert (folder / "images/train/empty.jpg").is_file()


def test_an_image_inside_of_labelmes_file_is_taken_out(tmp_path):
    export_files.write_labelme(tmp_path / "set")
    content = (tmp_path / "set/val" / IMAGE).read_bytes()
    (tmp_path / "set/val" / IMAGE).unlink()
    text = base64.b64encode(content).decode()
    replace(LABELME, '"imageData": null', f'"imageData": "{text}"')(tmp_path / "set")
    folder, _ = converted(tmp_path / "set")
    assert (folder / "images/val" / IMAGE).read_bytes() == content


@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_yolo_counts_in_the_photograph_as_it_is_turned(tmp_path, exif):
    root = tmp_path / "set"
    root.mkdir()
    (root / "data.yaml").write_text("names: [cat]\nnc: 1\n")  # no paths, as some tools have it
    for split in ("train", "valid"):
        path = root / split / "images/a.jpg"
        path.parent.mkdir(parents=True)
        turned = Image.Exif()
        turned[0x112] = 6
        Image.fromarray(noise((40, 80), 255, len(split), (3,))).save(path, exif=turned)
        (root / split / "labels").mkdir()
        (root / split / "labels/a.txt").write_text("0 0 0 1 0 1 .5 0 .5\n")
    folder, _ = converted(root, exif=exif)
    dataset = open_dataset("custom", "val", task="instance", data_path=folder, exif=exif)
    image, segments = dataset.read(0)
    height, width = (80, 40) if exif == "apply" else (40, 80)
    assert image.shape == (3, height, width)
    (mask,) = masks_of(segments)
    assert mask[: height // 2].all()
    assert not mask[height // 2 :].any()


def test_roboflows_own_paths_and_test_folder(tmp_path):
    """Its description says ../train/images, and lies beside that folder."""
    export_files.write_yolo(tmp_path / "drawn")
    root = tmp_path / "set"
    for split, name in (("train", "train"), ("val", "valid")):
        for part in ("images", "labels"):
            shutil.copytree(tmp_path / "drawn" / part / split, root / name / part)
    described = {"train": "../train/images", "val": "../valid/images", "names": list(LABELS)}
    (root / "data.yaml").write_text(yaml.safe_dump(described))
    counts = convert(root, tmp_path / "out", say=lambda _: None)
    assert {split: own.objects.total() for split, own in counts.items()} == {"train": 5, "val": 3}


def test_images_in_lists_and_several_folders(tmp_path):
    root = tmp_path / "set"
    export_files.write_yolo(root)
    (root / "train.txt").write_text("./images/train/a b.jpg\n\n./images/train/naïve/ü.png\n")
    described = {"train": "train.txt", "val": ["images/val"], "names": list(LABELS)}
    (root / "data.yaml").write_text(yaml.safe_dump(described))
    convert(root, tmp_path / "out", say=lambda _: None)
    assert (tmp_path / "out/images/train/naïve/ü.png").is_file()
    assert (tmp_path / "out/images/train/a b.jpg").is_file()


def test_cocos_format_as_other_tools_have_it(tmp_path):
    export_files.write_roboflow(tmp_path / "drawn")
    root = tmp_path / "set"
    for split, name in (("train", "train"), ("val", "valid")):
        shutil.copytree(tmp_path / "drawn" / name, root / "images" / split)
        (root / "annotations").mkdir(exist_ok=True)
        file = root / "images" / split / "_annotations.coco.json"
        file.rename(root / f"annotations/instances_{split}.json")
    counts = convert(root, tmp_path / "out", say=lambda _: None)
    assert {split: own.objects.total() for split, own in counts.items()} == {"train": 5, "val": 3}


def test_parts_may_be_of_several_kinds_and_masks_have_holes(tmp_path):
    """A polygon and a mask with holes in one group, as CVAT has it, and masks in LabelMe's."""
    holes = noise((100, 150), 1, 5).astype(bool)
    holes[0, 0] = holes[-1, -1] = True
    truth = np.zeros(SIZE, bool)
    truth[20:120, 30:180] = holes
    flips = np.flatnonzero(np.diff(holes.ravel())) + 1
    runs = [0, *np.diff([0, *flips, holes.size])]
    square = "200.00,10.00;300.00,10.00;300.00,90.00;200.00,90.00"
    export_files.write_cvat(tmp_path / "set")
    own = 'label="cat" group_id="4"'
    shapes = f'<polygon {own} points="{square}"></polygon><mask {own} left="30" top="20" '
    shapes += f'width="150" height="100" rle="{", ".join(map(str, runs))}"></mask>'
    path = tmp_path / "set" / XML
    text = path.read_text(encoding="utf-8")
    head, _, _ = text.partition('<image id="3"')
    image = f'<image id="3" name="{IMAGE}" subset="val" width="320" height="240">{shapes}</image>'
    path.write_text(f"{head}{image}</annotations>", encoding="utf-8")
    folder, _ = converted(tmp_path / "set")
    dataset = open_dataset("custom", "val", task="instance", data_path=folder)
    (mask,) = masks_of(dataset.read(0)[1])
    truth[10:90, 200:300] = True
    assert np.array_equal(mask, truth)


def test_labelme_counts_what_nobody_has_annotated(tmp_path):
    export_files.write_labelme(tmp_path / "set")
    write_image(tmp_path / "set/val/new.jpg", noise(SIZE, 255, 1, (3,)))
    write_image(tmp_path / "set/test/t.jpg", noise(SIZE, 255, 1, (3,)))
    folder, said = converted(tmp_path / "set")
    assert "note: 1 image(s) have no JSON file and are left out, first val/new.jpg" in said
    assert [path.name for path in (folder / "images/val").iterdir()] == [IMAGE]
    assert read_image_ids(folder / "test.json") == {"t.jpg": 1}


def test_the_verb_says_what_there_is(tmp_path, capsys):
    export_files.write_cvat(tmp_path / "set")
    arguments = ["convert", str(tmp_path / "set"), "--output", str(tmp_path / "out")]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "note: 4 polyline(s) have no area and are left out" in said
    assert "train: 3 images, 5 objects: 2 × dog house, 2 × cat, 1 × été" in said
    assert "check-data --dataset custom" in said
    main(["check-data", "--dataset=custom", f"--data-path={tmp_path / 'out'}"])
    assert "with 8 segment(s): 1 finding(s): 1 × empty annotation" in capsys.readouterr().out
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*arguments[:3], str(tmp_path / "o"), "--format=yoloo"]) == 2
    assert "format='yoloo' is not known. Did you mean 'yolo'" in capsys.readouterr().err
    (tmp_path / "nothing").mkdir()
    assert main(["convert", str(tmp_path / "nothing"), *arguments[2:3], str(tmp_path / "o")]) == 2
    assert "is no export that is known" in capsys.readouterr().err


def test_what_is_written_is_whole_for_cocos_tools(tmp_path):
    export_files.write_roboflow(tmp_path / "set")
    folder, _ = converted(tmp_path / "set")
    tool = COCO(str(folder / "val.json"))
    for entry in tool.loadAnns(tool.getAnnIds()):
        mask = tool.annToMask(entry)
        assert entry["area"] == mask.sum()
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
        assert np.abs(np.subtract(entry["bbox"], box)).max() <= 1
