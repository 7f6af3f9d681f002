import json

import numpy as np
import pytest
import torch
from PIL import Image

from eomtlib.core.errors import DataError
from eomtlib.core.structures import ClassInfo
from eomtlib.evaluation.metrics import METRICS
from eomtlib.evaluation.official_files import exporting
from eomtlib.evaluation.prediction_files import PredictionFiles, find_predictions
from tests.evaluation.comparison.test_statistics import CASES

CLASSES = [ClassInfo("a", True, 7), ClassInfo("b", True, 300)]
MASK = np.zeros((4, 6), bool)
MASK[1:3, 2:5] = True


@pytest.mark.parametrize("task", CASES)
def test_what_was_written_scores_the_same_when_it_is_read(task, tmp_path):
    image, classes, _ = CASES[task]
    rng, images = np.random.default_rng(0), []
    before, after = METRICS[task](classes), METRICS[task](classes)
    with exporting(tmp_path / "out", task=task, classes=classes) as export:
        for number in range(12):
            segmented, target = image(rng)
            images.append(target)
            before.update(segmented, target)
            export(segmented, number)
    found = find_predictions(tmp_path / "out")
    assert found[0] == task
    files = PredictionFiles(*found, classes=classes)
    for number, target in enumerate(images):
        after.update(files.segmented((number, f"{number:012d}.jpg"), target.size), target)
    if task == "semantic":
        assert torch.equal(before.state(), after.state())
    assert before.compute().metrics == pytest.approx(after.compute().metrics, nan_ok=True)


@pytest.mark.parametrize(
    "outline",
    [
        [[2, 1, 5, 1, 5, 3, 2, 3]],
        {"size": [4, 6], "counts": [9, 2, 2, 2, 2, 2, 5]},
    ],
)
def test_instances_of_others_come_as_polygons_and_plain_run_lengths(outline, tmp_path):
    path = tmp_path / "segm.json"
    own = {"image_id": "x", "category_id": 300, "segmentation": outline, "score": 0.5}
    path.write_text(json.dumps([own]))
    assert find_predictions(path) == ("instance", path)
    files = PredictionFiles("instance", path, classes=CLASSES)
    found = files.segmented(("x", "x.jpg"), (4, 6))
    assert found["segments_info"] == [{"label_id": 1, "score": 0.5}]
    mask, (top, left) = found["segmentation"].boxed(0)
    assert np.array_equal(mask, MASK[1:3, 2:5])
    assert (top, left) == (1, 2)
    assert files.segmented(("y", "y.jpg"), (4, 6))["segments_info"] == []
    with pytest.raises(DataError, match=r"a mask of image 'x'|far outside"):
        files.segmented(("x", "x.jpg"), (1, 1))


def test_semantic_pngs_of_others_are_found_by_name_and_their_values_are_ids(tmp_path):
    Image.fromarray(np.where(MASK, 300, 7).astype(np.uint16)).save(tmp_path / "one.png")
    Image.fromarray(np.full((4, 6), 255, np.uint8)).save(tmp_path / "two.png")
    assert find_predictions(tmp_path) == ("semantic", tmp_path)
    files = PredictionFiles("semantic", tmp_path, classes=CLASSES)
    found = files.segmented((1, "town/one.jpg"), (4, 6))
    assert np.array_equal(found.numpy(), MASK)
    with pytest.raises(DataError, match=r"two.png: category_id 255 is none"):
        files.segmented((2, "two.jpg"), (4, 6))
    with pytest.raises(DataError, match=r"has no PNG for three.jpg"):
        files.segmented((3, "three.jpg"), (4, 6))
    with pytest.raises(DataError, match=r"one\.png"):
        files.segmented((1, "one.jpg"), (6, 4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file_name": "../../secret.png"}, "no file name"),
        ({"segments_info": [{"id": 1, "category_id": 8}]}, "category_id 8 is none"),
        ({"segments_info": [{"id": 1, "category_id": 7}] * 2}, "ids of their own"),
        ({"segments_info": []}, "segment id"),
        ({"image_id": 2}, "no entry for image 1"),
        ({"segments_info": 3}, "no file of COCO's results"),
        ({"file_name": "gone.png"}, "cannot be read"),
    ],
)
def test_panoptic_files_that_cannot_be_used_are_named(change, message, tmp_path):
    (tmp_path / "mine").mkdir()
    colours = np.zeros((4, 6, 3), np.uint8)
    colours[MASK, 0] = 1
    Image.fromarray(colours).save(tmp_path / "mine" / "1.png")
    entry = {"image_id": 1, "file_name": "1.png", "segments_info": [{"id": 1, "category_id": 7}]}
    path = tmp_path / "mine.json"

    def read(entry):
        path.write_text(json.dumps({"annotations": [entry]}))
        assert find_predictions(path) == ("panoptic", path)
        return PredictionFiles("panoptic", path, classes=CLASSES).segmented((1, "1.jpg"), (4, 6))

    assert np.array_equal(read(entry)["segmentation"].numpy() == 0, MASK)
    with pytest.raises(DataError, match=message):
        read(entry | change)


def test_models_are_no_predictions(tmp_path):
    assert find_predictions(tmp_path / "none") is None
    (tmp_path / "curve.png").touch()
    (tmp_path / "config.json").touch()
    assert find_predictions(tmp_path) is None
