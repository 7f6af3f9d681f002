import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.files.cache_folder import default_cache
from eomtlib.data.sets.coco import CocoPanoptic
from eomtlib.data.sets.shapes import SHAPES_VERSION, ensure_shapes
from eomtlib.data.sets.shapes_forms import FORMS
from eomtlib.data.sets.shapes_scene import CLASSES, STUFF, THINGS, render_scene

HASH = {1: "bd0f56ce7750cf510bec57aed2ca2849fff3718d337dafe9034860f7a081532f"}


def test_content_belongs_to_the_version(tmp_path):
    """Other pixels need another version, since figures of two versions cannot be compared."""
    root = ensure_shapes(tmp_path, train_images=8, val_images=8)
    digest = hashlib.sha256()
    for number, split in enumerate(("train", "val")):
        maps = root / "annotations" / f"panoptic_{split}2017"
        entries = json.loads(maps.with_suffix(".json").read_text())["annotations"]
        for index, entry in enumerate(entries):
            digest.update(render_scene(0, number, index, (64, 64)).image.tobytes())
            digest.update(np.array(Image.open(maps / entry["file_name"])).tobytes())
            digest.update(json.dumps(entry, sort_keys=True).encode())
    assert digest.hexdigest() == HASH[SHAPES_VERSION]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return ensure_shapes(tmp_path_factory.mktemp("shapes"), train_images=150, val_images=5)


def test_annotations_agree_with_the_pngs(root):
    content = json.loads((root / "annotations/panoptic_train2017.json").read_text())
    crowds = voids = 0
    shown = set()
    for entry in content["annotations"]:
        png = Image.open(root / "annotations/panoptic_train2017" / entry["file_name"])
        colours = np.array(png).astype(int)
        ids = colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]
        listed = {segment["id"] for segment in entry["segments_info"]}
        assert set(np.unique(ids).tolist()) - {0} == listed
        stuff = []
        for segment in entry["segments_info"]:
            rows, columns = np.nonzero(ids == segment["id"])
            assert segment["area"] == len(rows)
            x, y = int(columns.min()), int(rows.min())
            assert segment["bbox"] == [x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1]
            shown.add(segment["category_id"])
            crowds += segment["iscrowd"]
            stuff += [segment["category_id"]] * (segment["category_id"] > 100)
        assert len(set(stuff)) == len(stuff)  # stuff of one class is one segment
        voids += bool((ids == 0).any())
    assert shown == {info.category_id for info in CLASSES}
    assert 3 <= crowds <= 30
    assert 10 <= voids <= 75


def test_the_coco_reader_reads_it(root):
    dataset = CocoPanoptic(root, "train")
    assert len(dataset) == 150
    assert dataset.classes == CLASSES
    assert [info.is_thing for info in dataset.classes] == [True] * len(THINGS) + [False] * len(
        STUFF
    )
    image, segments = dataset.read(3)
    scene = render_scene(0, 0, 3, (64, 64))
    assert np.array_equal(segments.ids[0].numpy(), scene.ids)
    assert segments.labels.tolist() == list(scene.labels)
    difference = image.permute(1, 2, 0).numpy().astype(int) - scene.image
    assert np.abs(difference).mean() < 4  # JPEG


def test_a_scene_looks_the_same_at_any_size():
    for index in range(10):
        small = render_scene(0, 0, index, (48, 64))
        large = render_scene(0, 0, index, (192, 256))
        agree = [
            [CLASSES[scene.labels[i]].name if i >= 0 else "" for i in ids.ravel()]
            for scene, ids in ((small, small.ids), (large, large.ids[2::4, 2::4]))
        ]
        assert np.mean(np.array(agree[0]) == np.array(agree[1])) > 0.93


def test_objects_stand_out_from_the_ground():
    weights = np.array([0.299, 0.587, 0.114])
    plain = [i for i, name in enumerate(THINGS) if FORMS[name][1] is None]
    for index in range(30):
        scene = render_scene(0, 0, index, (64, 64))
        luma = scene.image @ weights
        kinds = np.array([*scene.labels, -1])[scene.ids]
        things = luma[np.isin(kinds, plain)]
        if len(things):
            assert things.min() > luma[kinds >= len(THINGS)].max() + 20


def test_sizes_and_sets_differ(tmp_path):
    options = {"train_images": 2, "val_images": 1}
    root = ensure_shapes(tmp_path, image_size=(32, 48), **options)
    assert CocoPanoptic(root, "val").sizes.tolist() == [[32, 48]]
    other = ensure_shapes(tmp_path, image_size=(32, 48), seed=1, **options)
    assert other != root
    pixels = [CocoPanoptic(folder, "train").read(0)[0].numpy() for folder in (root, other)]
    assert not np.array_equal(*pixels)
    train, val = (CocoPanoptic(root, split).read(0)[0].numpy() for split in ("train", "val"))
    assert not np.array_equal(train, val)


def test_a_finished_set_is_used_again_and_an_unfinished_one_is_not(tmp_path):
    options = {"image_size": 32, "train_images": 3, "val_images": 1}
    root = ensure_shapes(tmp_path, **options)
    mark = root / "train2017" / "000000000001.jpg"
    before = mark.stat().st_mtime_ns
    assert ensure_shapes(tmp_path, **options) == root
    assert mark.stat().st_mtime_ns == before
    (root / "shapes.json").unlink()
    (root / "train2017" / "000000000002.jpg").unlink()
    assert ensure_shapes(tmp_path, **options) == root
    assert len(CocoPanoptic(root, "train")) == 3
    assert [path.name for path in tmp_path.iterdir()] == [root.name]


def test_a_killed_writer_leaves_no_set(tmp_path):
    code = (
        "import sys; from eomtlib.data.sets.shapes import ensure_shapes; "
        "ensure_shapes(sys.argv[1], train_images=100000)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".*/train2017/*5.jpg")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    assert list(tmp_path.glob(".*/train2017/*5.jpg"))
    assert not list(tmp_path.glob("v*"))


def test_two_writers_at_once_do_no_harm(tmp_path):
    options = {"image_size": 32, "train_images": 20, "val_images": 2}
    found = []
    writers = [
        threading.Thread(target=lambda: found.append(ensure_shapes(tmp_path, **options)))
        for _ in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(found) == 3
    assert len(set(found)) == 1
    assert len(CocoPanoptic(found[0], "train")) == 20
    assert [path.name for path in tmp_path.iterdir()] == [found[0].name]


def test_the_cache_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("EOMTLIB_CACHE", raising=False)
    assert default_cache() == tmp_path / "xdg" / "eomtlib"
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path / "own"))
    root = ensure_shapes(image_size=32, train_images=1, val_images=1)
    assert root.is_relative_to(tmp_path / "own" / "shapes")


@pytest.mark.parametrize("wrong", [{"image_size": 8}, {"train_images": 0}, {"val_images": 0}])
def test_what_cannot_be_is_refused(tmp_path, wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        ensure_shapes(tmp_path, **wrong)
