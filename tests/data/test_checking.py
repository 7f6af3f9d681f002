import json

import numpy as np
import pytest
from PIL import Image

from eomtlib.commands import main
from eomtlib.data.checking import Findings, check_split
from eomtlib.data.decoding.problems import KINDS
from tests.data.coco_files import H, W
from tests.data.custom_files import write_instances, write_masks, write_panoptic
from tests.data.files import write_image, write_json
from tests.data.mask_files import SIZE, write_ade20k, write_cityscapes


def check(root, task, name="custom"):
    """The lines and the counts of a check of the val split."""
    lines = []
    findings = Findings(lines.append)
    check_split(name, "val", task=task, data_path=root, findings=findings)
    assert set(findings.kinds) <= set(KINDS)
    lines = [line for line in lines if not line.startswith("note: ")]
    return lines, dict(findings.kinds)


def changed(folder, change):
    """Rewrites ``val.json``."""
    content = json.loads((folder / "val.json").read_text())
    change(content)
    write_json(folder / "val.json", content)


def segments(content, k=0):
    return content["annotations"][k]["segments_info"]


@pytest.mark.parametrize("name", ["shapes", "custom"])
def test_a_set_in_order_has_no_findings(tmp_path, name, capsys):
    write_masks(tmp_path)
    write_masks(tmp_path, "train")
    for path in (tmp_path / "images/train").rglob("*.*"):
        write_image(path, 255 - np.asarray(Image.open(path)))
    assert main(["check-data", "--dataset", name, "--data-path", str(tmp_path)]) == 0
    assert "nothing found" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
def test_coco_in_order_has_no_findings_but_images_without_an_object(coco, task):
    kind = "instances" if task == "instance" else "panoptic"
    content = json.loads((coco / f"annotations/{kind}_val2017.json").read_text())
    annotated = {annotation["image_id"] for annotation in content["annotations"]}
    lines, _ = check(coco, task, "coco")
    empty = [image["file_name"] for image in content["images"] if image["id"] not in annotated]
    assert len(lines) == len(empty)
    assert all(f"{name}; annotate" in line for name, line in zip(empty, lines, strict=True))


def test_all_that_is_wrong_with_masks_is_named_file_by_file(tmp_path, capsys):
    write_masks(tmp_path)
    images, masks = tmp_path / "images/val", tmp_path / "masks/val"
    for name in ("1", "2", "3", "4", "5", "6", "7"):
        write_image(images / f"{name}.jpg", np.zeros((H, W, 3), np.uint8))
        write_image(masks / f"{name}.png", np.full((H, W), 7, np.uint8))
    (masks / "1.png").unlink()
    (images / "2.jpg").write_bytes((images / "2.jpg").read_bytes()[:200])
    Image.new("RGB", (W + 1, H)).save(images / "3.jpg")
    write_image(masks / "4.png", np.full((H, W), 9, np.uint8))
    write_image(masks / "5.png", np.full((H, W), 255, np.uint8))
    (images / "6.jpg").unlink()
    (masks / "7.png").write_bytes((masks / "7.png").read_bytes()[:50])
    write_image(images / "a.png", np.zeros((H, W, 3), np.uint8))
    arguments = ["check-data", "--dataset", "custom", "--data-path", str(tmp_path)]
    assert main([*arguments, "--split", "val"]) == 1
    said, _, contents = capsys.readouterr().out.partition("\n\n")
    *lines, summary = said.splitlines()
    assert contents.startswith("val, for semantic segmentation\n8 image(s)")
    assert main([*arguments, "--split", "val", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["lines"] == lines
    assert sum(told["findings"].values()) == len([x for x in lines if not x.startswith("note: ")])
    expected = [
        ("duplicate id", images / "a.png", "has the name of a.jpg"),
        ("missing mask", masks / "1.png", "missing"),
        ("missing image", images / "6.jpg", "missing"),
        ("unreadable image", images / "2.jpg", "cannot be decoded"),
        ("size mismatch", images / "3.jpg", f"is {H} × {W + 1}"),
        ("unknown id", masks / "4.png", "holds 1 value(s) that stand for no class"),
        ("empty annotation", masks / "5.png", "has no segment"),
        ("unreadable mask", masks / "7.png", "cannot be decoded"),
    ]
    assert len(lines) == len(expected)
    for line, (kind, path, what) in zip(lines, expected, strict=True):
        assert line.startswith(f"{kind}: {path}: {what}")
    assert "8 finding(s)" in summary
    for kind, _, _ in expected:
        assert f"1 × {kind}" in summary


PANOPTIC = {
    "unknown class": lambda c: segments(c)[0].update(category_id=99),
    "unknown id": lambda c: segments(c).pop(),
    "duplicate id": lambda c: c["images"].append(c["images"][0]),
    "malformed entry": lambda c: c["annotations"][0].pop("file_name"),
    "empty annotation": lambda c: c["annotations"].pop(),
    "zero-area segment": lambda c: segments(c).append({"id": 5, "category_id": 7}),
    "size mismatch": lambda c: c["images"][0].update(height=H + 1),
}
INSTANCES = {
    "unknown class": lambda c: c["annotations"][0].update(category_id=99),
    "unknown id": lambda c: c["annotations"][0].update(image_id=99),
    "malformed entry": lambda c: c["annotations"][0].pop("segmentation"),
    "zero-area segment": lambda c: c["annotations"][0].update(segmentation=[[3.0, 3.0] * 3]),
    "size mismatch": lambda c: c["annotations"][2]["segmentation"].update(size=[W, H]),
}


@pytest.mark.parametrize("kind", PANOPTIC)
def test_what_is_wrong_with_panoptic_annotations_is_named(tmp_path, kind):
    folder = write_panoptic(tmp_path)
    assert check(folder, "semantic") == ([], {})
    changed(folder, PANOPTIC[kind])
    lines, kinds = check(folder, "panoptic")
    # A size that is wrong in the list disagrees with the image and with the PNG.
    assert kinds == {kind: 2 if kind == "size mismatch" else 1}
    assert all(str(folder) in line for line in lines)


@pytest.mark.parametrize("kind", INSTANCES)
def test_what_is_wrong_with_instances_is_named(tmp_path, kind):
    folder = write_instances(tmp_path)
    lines, kinds = check(folder, "instance")
    assert kinds == {"empty annotation": 1}
    assert "000000000009.jpg" in lines[0]
    changed(folder, INSTANCES[kind])
    lines, kinds = check(folder, "instance")
    assert kinds == {"empty annotation": 1, kind: 1}
    assert all("val.json: " in line for line in lines)


def test_what_is_wrong_with_ade20k_and_cityscapes_is_named(tmp_path):
    write_cityscapes(tmp_path)
    write_ade20k(tmp_path)
    checks = (("cityscapes", "semantic"), ("ade20k", "semantic"), ("ade20k", "panoptic"))
    assert [check(tmp_path, task, name) for name, task in checks] == [([], {})] * 3
    (tmp_path / "gtFine/val/ulm/ulm_000000_000010_gtFine_labelIds.png").unlink()
    write_image(
        tmp_path / "leftImg8bit/val/bonn/bonn_000000_000011_leftImg8bit.png",
        np.zeros((H, W, 3), np.uint8),
    )
    (tmp_path / "annotations_instance/validation/ADE_val_00000001.png").unlink()
    coded = np.full((*SIZE, 3), 101, np.uint8)
    write_image(tmp_path / "annotations_instance/validation/ADE_val_00000002.png", coded)
    assert [check(tmp_path, task, name)[1] for name, task in checks] == [
        {"missing mask": 1, "size mismatch": 1},
        {},
        {"missing mask": 1, "unknown class": 1},
    ]


def test_everything_is_passed_over_whatever_is_found(tmp_path):
    folder = write_panoptic(tmp_path)
    (folder / "images/val/1.jpg").unlink()
    (folder / "masks/val/1.png").write_bytes(b"junk")
    (folder / "images/val/2.jpg").write_bytes(b"junk")
    (folder / "masks/val/2.png").unlink()
    lines, kinds = check(folder, "panoptic")
    assert kinds == {
        "missing image": 1,
        "missing mask": 1,
        "unreadable mask": 1,
        "unreadable image": 1,
    }
    assert "images/val/1.jpg" in lines[0]
    assert "masks/val/2.png" in lines[1]


def test_a_set_that_cannot_be_opened_is_a_finding(tmp_path, capsys):
    arguments = ["check-data", "--dataset", "custom", "--data-path", str(tmp_path)]
    assert main(arguments) == 1
    assert "2 × unusable data set" in capsys.readouterr().out
    assert main([*arguments[:2], "custon"]) == 2
    assert "'custom'" in capsys.readouterr().err
    assert main(["check-data", "--dataset", "cityscapes"]) == 2
    assert "leftImg8bit_trainvaltest.zip" in capsys.readouterr().err
