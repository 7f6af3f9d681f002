import copy
import io
import json
import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from pycocotools import mask as rle_masks
from pycocotools.coco import COCO

from eomtlib.core.errors import DataError
from eomtlib.data.sets.coco import INSTANCES_ZIP, CocoInstances
from tests.data.coco_files import (
    COMPRESSED,
    SEGMENTS,
    H,
    W,
    polygon,
    save_instances,
    write_instances,
)
from tests.data.files import masks_of, pack


@pytest.mark.parametrize("packed", [False, True], ids=["folders", "zips"])
def test_objects_come_whole_in_few_layers(tmp_path, packed):
    content = write_instances(tmp_path / "set")
    root = tmp_path / "set"
    if packed:
        root = tmp_path / "zips"
        pack(tmp_path / "set", root / "val2017.zip", "val2017")
        pack(tmp_path / "set", root / INSTANCES_ZIP, "annotations")
    dataset = CocoInstances(root, "val")
    assert [(c.name, c.is_thing, c.category_id) for c in dataset.classes] == [
        ("person", True, 1),
        ("bottle", True, 44),
    ]
    assert dataset.image_ids.tolist() == [2, 5, 9]
    for index, image in enumerate(content["images"]):
        expected = [segment for segment in SEGMENTS if segment[0] == image["id"]]
        shown, segments = dataset.read(index)
        assert shown.shape == (3, H, W)
        assert abs(int(shown.float().mean()) - 20 * image["id"]) <= 1
        assert [dataset.classes[k].category_id for k in segments.labels] == [s[1] for s in expected]
        assert segments.is_crowd.tolist() == [bool(s[2]) for s in expected]
        assert np.array_equal(
            masks_of(segments), np.array([s[4] for s in expected]).reshape(-1, H, W)
        )
    # The crowd meets the first bottle, the third object meets both, and the last the crowd alone.
    ids = dataset.read(0)[1].ids
    assert [sorted(layer[layer >= 0].unique().tolist()) for layer in ids] == [[0, 3], [1], [2]]
    assert ids.dtype == torch.int16


@pytest.mark.parametrize("split", ["train", "val"])
def test_coco_objects_equal_pycocotools(coco, split, capsys):
    reference = COCO(str(coco / "annotations" / f"instances_{split}2017.json"))
    dataset = CocoInstances(coco, split, on_empty="keep")
    assert dataset.image_ids.tolist() == [image["id"] for image in reference.dataset["images"]]
    assert [(c.category_id, c.name) for c in dataset.classes] == [
        (category["id"], category["name"]) for category in reference.dataset["categories"]
    ]
    crowds = 0
    for index in range(len(dataset)):
        image_id = int(dataset.image_ids[index])
        wanted = [a for a in reference.dataset["annotations"] if a["image_id"] == image_id]
        segments = dataset.read_segments(index)
        assert [dataset.classes[k].category_id for k in segments.labels] == [
            a["category_id"] for a in wanted
        ]
        assert segments.is_crowd.tolist() == [bool(a["iscrowd"]) for a in wanted]
        for mask, annotation in zip(masks_of(segments), wanted, strict=True):
            assert np.array_equal(mask, reference.annToMask(annotation))
        assert sum(m.sum() for m in masks_of(segments)) == (segments.ids >= 0).sum()
        crowds += int(segments.is_crowd.sum())
    assert crowds or split == "val"


def test_polygons_between_pixels_equal_pycocotools(tmp_path):
    rng = np.random.default_rng(0)
    content = write_instances(tmp_path)
    outlines = [[(rng.random(2 * 7) * 32 - 3).round(2).tolist()] for _ in range(60)]
    content["annotations"] = [
        {"id": k, "image_id": 2, "category_id": 1, "iscrowd": 0, "segmentation": outline}
        for k, outline in enumerate(outlines)
    ]
    save_instances(tmp_path, content)
    masks = masks_of(CocoInstances(tmp_path, "val").read_segments(0))
    for mask, outline in zip(masks, outlines, strict=True):
        encoded = rle_masks.frPyObjects(outline, H, W)
        assert np.array_equal(mask, rle_masks.decode(rle_masks.merge(encoded)))


def test_a_worker_gets_no_copy_of_the_outlines(tmp_path):
    content = write_instances(tmp_path)
    outline = [polygon(1, 1, 8, 8) * 200]
    content["annotations"] = [
        {"id": k, "image_id": 2, "category_id": 1, "iscrowd": 0, "segmentation": outline}
        for k in range(100)
    ]
    save_instances(tmp_path, content)
    dataset = CocoInstances(tmp_path, "val")
    buffer = io.BytesIO()
    ForkingPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(dataset)  # as a spawned worker gets it
    written = (tmp_path / "annotations" / "instances_val2017.json").stat().st_size
    assert len(buffer.getvalue()) < written / 20


def test_images_without_objects(tmp_path):
    for split in ("train", "val"):
        write_instances(tmp_path, split)
    with pytest.warns(UserWarning, match=r"1 image\(s\) have no segments.*0009\.jpg"):
        assert CocoInstances(tmp_path, "train").image_ids.tolist() == [2, 5]
    assert CocoInstances(tmp_path, "val").read(2)[1].num_segments == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 77}, "image_id 77 is not among"),
        ({"category_id": 3}, "category_id 3 is not among"),
        ({"segmentation": []}, "segmentation is empty"),
        ({"segmentation": [[1, 2, 3, 4]]}, "a polygon of 4 numbers"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "a polygon of 7 numbers"),
        ({"segmentation": [[1, 2, 3, "x", 5, 6]]}, r"annotations\[1\]"),
        ({"segmentation": [[1, 2, 1e300, 4, 5, 6]]}, "far outside"),
        ({"segmentation": {"size": [W, H], "counts": [H * W]}}, "run lengths for height"),
        ({"segmentation": {"size": [H, W], "counts": [5]}}, "do not add up"),
        ({"segmentation": {"size": [H, W], "counts": [H * W + 1, -1]}}, "do not add up"),
        *(
            ({"segmentation": {"size": [H, W], "counts": text}}, "do not add up")
            for text in ("", "5", "~~~~", "l82", "é", "P" * 26 + "1", COMPRESSED["counts"][:-1])
        ),
        ({"segmentation": {"size": [H, W], "counts": 5}}, "must be a list of run lengths"),
        ({"segmentation": {"size": [H, W]}}, "lacks the field 'counts'"),
    ],
)
def test_wrong_entry_is_named(tmp_path, changes, message):
    content = write_instances(tmp_path)
    content["annotations"][1] |= changes
    save_instances(tmp_path, content)
    with pytest.raises(DataError, match=message) as raised:
        CocoInstances(tmp_path, "val")
    assert "instances_val2017.json: annotations[1]: " in str(raised.value)
    assert pickle.loads(pickle.dumps(raised.value)).args == raised.value.args


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9, 0.999])
def test_a_file_that_ends_early_is_named(tmp_path, cut):
    text = json.dumps(copy.deepcopy(write_instances(tmp_path)))
    path = tmp_path / "annotations" / "instances_val2017.json"
    path.write_text(text[: int(cut * len(text))])
    with pytest.raises(DataError, match=r"instances_val2017\.json: is no valid JSON"):
        CocoInstances(tmp_path, "val")
