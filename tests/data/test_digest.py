"""A data set is named by what it holds, wherever it lies and whenever it was copied."""

import json
import os
import shutil
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from eomtlib.data.decoding import archives
from eomtlib.data.decoding.checksums import checksums
from eomtlib.data.registry import open_dataset
from eomtlib.data.sets.shapes import ensure_shapes
from tests.data.custom_files import write_instances, write_masks, write_panoptic
from tests.data.mask_files import write_ade20k, write_cityscapes


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path / "cache"))


def digest(root, name="custom", task="semantic"):
    return open_dataset(name, "val", task=task, data_path=root).digest()


def cityscapes(root):
    write_cityscapes(root)
    return root


def ade20k(root):
    write_ade20k(root)
    return root


def masks(root):
    write_masks(root)
    return root


SETS = {
    "masks": (masks, "custom", "semantic", "masks/val/a.png"),
    "panoptic": (write_panoptic, "custom", "panoptic", "masks/val/1.png"),
    "panoptic JSON": (write_panoptic, "custom", "panoptic", "val.json"),
    "instances": (write_instances, "custom", "instance", "val.json"),
    "cityscapes": (cityscapes, "cityscapes", "semantic", "gtFine/val/*/*_labelIds.png"),
    "ade20k": (ade20k, "ade20k", "panoptic", "*/annotations/*/*2.png"),
    "ade20k instances": (ade20k, "ade20k", "panoptic", "annotations_instance/*/*2.png"),
}


@pytest.mark.parametrize("kind", SETS)
def test_a_copy_is_the_same_and_a_change_is_not(kind, tmp_path):
    write, *named, changed = SETS[kind]
    root = write(tmp_path / "first")
    before = digest(root, *named)
    copy = shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)
    for path in copy.rglob("*"):
        os.utime(path, (10**9, 10**9))
    assert digest(copy, *named) == before

    path = sorted(copy.glob(changed))[0]
    content = path.read_bytes()
    if path.suffix == ".json":
        path.write_bytes(content.replace(b'"iscrowd": 0', b'"iscrowd": 1', 1))
    else:
        pixels = np.array(Image.open(path))
        pixels[0, 0] = pixels[pixels != pixels[0, 0]][0]
        Image.fromarray(pixels).save(path)
    assert digest(copy, *named) != before
    path.write_bytes(content)
    assert digest(copy, *named) == before


def test_archives_are_the_folders_that_they_hold(tmp_path):
    folder = cityscapes(tmp_path / "folder")
    zips = tmp_path / "zips"
    zips.mkdir()
    for name, part in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine")):
        with zipfile.ZipFile(zips / f"{name}_trainvaltest.zip", "w") as archive:
            for path in sorted((folder / part).rglob("*.png")):
                archive.write(path, path.relative_to(folder), zipfile.ZIP_DEFLATED)
    assert digest(zips, "cityscapes") == digest(folder, "cityscapes")


@pytest.mark.parametrize("change", ["name", "isthing", "image", "missing"])
def test_classes_and_images_count(change, tmp_path):
    root = masks(tmp_path)
    before = digest(root)
    classes = json.loads((root / "classes.json").read_text())
    if change == "name":
        classes[0]["name"], classes[1]["name"] = classes[1]["name"], classes[0]["name"]
    elif change == "isthing":
        classes[0]["isthing"] = 1
    elif change == "image":
        Image.new("RGB", (30, 20), "red").save(root / "images/val/a.jpg")
    else:
        for path in (root / "images/val/a.jpg", root / "masks/val/a.png"):
            path.unlink()
    (root / "classes.json").write_text(json.dumps(classes))
    assert digest(root) != before


def test_a_file_is_read_once_and_again_where_it_was_written_anew(tmp_path, monkeypatch):
    root = masks(tmp_path / "set")
    for path in root.rglob("*"):
        os.utime(path, (10**9, 10**9))
    before, names = digest(root), []
    read = archives.FolderStore.read
    monkeypatch.setattr(
        archives.FolderStore, "read", lambda self, name: names.append(name) or read(self, name)
    )
    assert digest(root) == before
    assert not [name for name in names if name.endswith(".png")]
    changed = root / "masks/val/a.png"
    Image.fromarray(255 - np.array(Image.open(changed))).save(changed)
    assert digest(root) != before
    assert [name for name in names if name.endswith(".png")] == ["a.png"]


def test_what_was_written_just_now_is_not_remembered(tmp_path):
    """It may be written again within one tick of the file system's clock, at the same size."""
    path = tmp_path / "a.png"

    def summed():
        state = path.stat()
        states = np.array([(state.st_size, state.st_mtime_ns)])
        return checksums(tmp_path, ["a.png"], states, lambda name: path.read_bytes()).item()

    path.write_bytes(b"first")
    state = path.stat()
    assert summed() == zlib.crc32(b"first")
    path.write_bytes(b"other")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert summed() == zlib.crc32(b"other")


def test_a_cache_that_is_damaged_or_cannot_be_written_is_none(tmp_path, monkeypatch):
    root = masks(tmp_path / "set")
    before = digest(root)
    for path in root.rglob("*.png"):
        os.utime(path, (10**9, 10**9))
    assert digest(root) == before
    for path in (tmp_path / "cache" / "checksums").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    assert digest(root) == before
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path / "file"))
    assert digest(root) == before


def test_shapes_are_named_by_what_they_are_drawn_from(tmp_path, monkeypatch):
    def of(split="train", **options):
        return open_dataset("shapes", split, data_path=tmp_path, **options).digest()

    few = {"train_images": 3, "val_images": 2}
    first = of(**few)
    # Encoders write other bytes from version to version.
    folder = ensure_shapes(tmp_path, **few)
    for path in folder.rglob("*.png"):
        Image.open(path).save(path, compress_level=9)
    assert of(**few) == first == of(train_images=3, val_images=3)
    others = {of("val", **few), of(train_images=4, val_images=2), of(image_size=32, **few)}
    assert len(others | {first}) == 4
    monkeypatch.setattr("eomtlib.data.sets.shapes.SHAPES_VERSION", 2)
    assert of(**few) != first
