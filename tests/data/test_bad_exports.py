"""Exports with something wrong: it is named by file and line, and nothing is half written."""

import re

import pytest

from eomtlib.core.errors import DataError
from eomtlib.data.exports.conversion import convert
from tests.data.export_files import WRITERS, replace


def add_line(line):
    def change(root):
        path = root / "labels/val/first.txt"
        path.write_text(path.read_text() + f"\n{line}\n")

    return change


def remove(name):
    return lambda root: (root / name).unlink()


ROBOFLOW, LABELME = "valid/_annotations.coco.json", "val/first.json"
XML, IMAGE = "annotations.xml", "first.jpg"
WRONG = [
    ("yolo", add_line("0 .1 .1 .2 .2"), r"first\.txt:5: is a box, not an outline"),
    ("yolo", add_line("0 .1 .1 .2 .2 .3"), r"first\.txt:5: has 5 number\(s\) after the class"),
    ("yolo", add_line("9 0 0 1 0 1 1"), r"first\.txt:5: class 9 is not among the names"),
    ("yolo", add_line("0 0 0 1 0 1 100"), r"first\.txt:5: has numbers beyond 0 to 1"),
    ("yolo", add_line("0 0 0 1 0 1 nan"), r"first\.txt:5: has numbers beyond 0 to 1"),
    ("yolo", add_line("0 0 0 1 0 1 x"), r"first\.txt:5: could not convert"),
    ("roboflow", remove(f"valid/{IMAGE}"), rf"missing image: .*valid/{IMAGE}: missing, and"),
    (
        "roboflow",
        replace(ROBOFLOW, '"height": 240', '"height": 20'),
        "says 20 × 320 .* is 240 × 320",
    ),
    (
        "roboflow",
        replace(ROBOFLOW, '"category_id": 3', '"category_id": 8'),
        r"annotations\[1\]: category_id 8 is not among",
    ),
    (
        "roboflow",
        replace(ROBOFLOW, '"image_id": 0', '"image_id": 5'),
        r"annotations\[0\]: image_id 5 is not among",
    ),
    (
        "roboflow",
        replace(ROBOFLOW, "[[10.0, 140.0, 150.0, 140.0, 80.0, 235.0]]", "[]"),
        r"annotations\[1\]: has a box and no outline",
    ),
    (
        "roboflow",
        replace(ROBOFLOW, "[[10.0, 140.0, 150.0, 140.0, 80.0, 235.0]]", "[[1, 2, 3, 4]]"),
        r"annotations\[1\]: a polygon of 4 numbers",
    ),
    (
        "cvat",
        remove(f"images/val/{IMAGE}"),
        rf"images/val/{IMAGE}: missing, and .*xml:\d+ names it",
    ),
    ("cvat", replace(XML, 'rle="', 'rle="7, '), r"xml:\d+: mask: run lengths do not add up"),
    (
        "cvat",
        replace(XML, 'points="20.00,30.00;', 'points="20.00;'),
        r"xml:\d+: polygon: .*corners",
    ),
    ("cvat", replace(XML, 'xtl="90"', ""), r"xml:\d+: box lacks 'xtl'"),
    ("cvat", replace(XML, 'label="cat"', 'label="cow"'), r"xml:\d+: box: label 'cow' is not among"),
    (
        "labelme",
        remove(f"val/{IMAGE}"),
        rf"missing image: .*val/{IMAGE}: missing, and .*first.json",
    ),
    (
        "labelme",
        replace(LABELME, '"points": [[10, 140]', '"points": [[7]'),
        r"shapes\[1\]: not enough",
    ),
    ("labelme", replace(LABELME, '"mask": "', '"mask": "AA'), r"shapes\[0\]: .*"),
    ("labelme", replace(LABELME, '"version"', "version"), "first.json: is no valid JSON"),
    ("voc", remove("SegmentationClass/first.png"), "missing mask: .*SegmentationClass/first.png"),
    ("voc", remove("SegmentationObject/first.png"), "missing mask: .*SegmentationObject/first.png"),
    ("voc", remove("JPEGImages/first.jpg"), "missing image: .*JPEGImages/first.jpg"),
    ("voc", replace("labelmap.txt", "50,60,230", "50,60,231"), "#323ce6, which stand for no class"),
]


@pytest.mark.parametrize(("form", "change", "said"), WRONG, ids=[said for _, _, said in WRONG])
def test_what_is_wrong_is_named_and_nothing_is_written(tmp_path, form, change, said):
    WRITERS[form](tmp_path / "set")
    change(tmp_path / "set")
    heard = []
    with pytest.raises(DataError, match=r"\d finding\(s\).*nothing is written.*--on-bad skip"):
        convert(tmp_path / "set", tmp_path / "out", say=heard.append)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert any(re.search(said, line) for line in heard), heard
    counts = convert(tmp_path / "set", tmp_path / "out", on_bad="skip", say=heard.append)
    assert counts["train"].images >= 2


REFUSED = [
    ("yolo", replace("data.yaml", "names:", "labels:"), "names must list the classes"),
    ("yolo", replace("data.yaml", "path:", "{"), "is no valid YAML"),
    ("yolo", replace("data.yaml", "images/val", "images/../../.."), "no file name below"),
    ("yolo", replace("data.yaml", "images/val", "/etc"), "no file name below"),
    ("roboflow", replace(ROBOFLOW, IMAGE, f"../{IMAGE}"), "no file name below"),
    ("roboflow", replace(ROBOFLOW, '"images"', '"pictures"'), "has no list 'images'"),
    ("roboflow", replace(ROBOFLOW, '"cat"', '"dog"'), "category 2 is 'dog', but 'cat'"),
    ("cvat", replace(XML, f'"{IMAGE}"', '"/etc/passwd"'), r"xml:\d+: .*no file name below"),
    ("cvat", replace(XML, "<meta>", "<meta"), r"annotations.xml:2: is no valid XML"),
    ("cvat", replace(XML, "<annotations>", "<annotations><track></track>"), "tracks of a video"),
    (
        "cvat",
        replace(XML, "<annotations>", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>'),
        r"annotations.xml:2: has a document type",
    ),
    ("voc", replace("ImageSets/Segmentation/val.txt", "first", "../first"), "no file name below"),
    ("voc", replace("labelmap.txt", "30,240,40", "green"), r"labelmap.txt:4: .*write name:red"),
]


@pytest.mark.parametrize(("form", "change", "said"), REFUSED, ids=[said for _, _, said in REFUSED])
def test_what_cannot_be_read_at_all_is_refused(tmp_path, form, change, said):
    WRITERS[form](tmp_path / "set")
    change(tmp_path / "set")
    with pytest.raises(DataError, match=said):
        convert(tmp_path / "set", tmp_path / "out", on_bad="skip", say=lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
