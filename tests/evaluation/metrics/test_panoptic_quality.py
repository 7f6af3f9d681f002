import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.evaluation.metrics.panoptic_quality import PanopticQuality
from tests.evaluation.metrics import planted
from tests.evaluation.metrics.panoptic import (
    CLASSES,
    as_target,
    naive_counts,
    random_image,
    segmented,
)

OF_REAL_IMAGES = Path(__file__).parents[2] / "fixtures" / "panoptic_quality"


def read_ids(path):
    """Segment ids of a COCO panoptic PNG."""
    rgb = np.asarray(Image.open(path).convert("RGB"), np.int32)
    return rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]


def to_indices(ids, segments):
    """Segment ids → positions in ``segments``, −1 for void."""
    known = np.array([0, *(segment["id"] for segment in segments)])
    order = np.argsort(known)
    return order[np.searchsorted(known, ids, sorter=order)] - 1


def test_equals_panopticapi_on_coco(coco):
    drawn = coco / "panoptic_quality"
    fixture = drawn if drawn.is_dir() else OF_REAL_IMAGES
    truth = json.loads((coco / "annotations" / "panoptic_val2017.json").read_text())
    predictions = json.loads((fixture / "predictions.json").read_text())
    expected = json.loads((fixture / "expected.json").read_text())
    categories = truth["categories"]
    classes = [ClassInfo(c["name"], bool(c["isthing"]), c["id"]) for c in categories]
    index_of = {info.category_id: index for index, info in enumerate(classes)}
    predicted = {annotation["image_id"]: annotation for annotation in predictions["annotations"]}
    quality = PanopticQuality(classes)
    for annotation in truth["annotations"]:
        segments = annotation["segments_info"]
        ids = read_ids(coco / "annotations" / "panoptic_val2017" / annotation["file_name"])
        target = SegmentMap(
            ids=torch.from_numpy(to_indices(ids, segments)).to(torch.int16)[None],
            labels=torch.tensor([index_of[s["category_id"]] for s in segments]),
            is_crowd=torch.tensor([bool(s["iscrowd"]) for s in segments]),
        )
        prediction = predicted[annotation["image_id"]]
        infos = prediction["segments_info"]
        prediction_ids = to_indices(
            read_ids(fixture / "predictions" / prediction["file_name"]), infos
        )
        labels = [index_of[s["category_id"]] for s in infos]
        quality.update(segmented(prediction_ids, labels), target)
    result = quality.compute()
    for suffix, group in (("", "All"), ("_things", "Things"), ("_stuff", "Stuff")):
        assert result.metrics[f"n{suffix}"] == expected[group]["n"]
        for name in ("pq", "sq", "rq"):
            assert result.metrics[name + suffix] / 100 == pytest.approx(
                expected[group][name], abs=1e-9
            )
    assert len(expected["per_class"]) == len(classes)
    for info in classes:
        for name, value in expected["per_class"][str(info.category_id)].items():
            assert result.per_class[info.name][name] / 100 == pytest.approx(value, abs=1e-9)
        counts = expected["counts"].get(str(info.category_id), {"tp": 0, "fp": 0, "fn": 0})
        for name in ("tp", "fp", "fn"):
            assert result.per_class[info.name][name] == counts[name]


def test_equals_a_naive_count_and_adds_up_over_processes():
    rng = np.random.default_rng(0)
    images = [random_image(rng) for _ in range(150)]
    parts = [PanopticQuality(CLASSES) for _ in range(2)]
    for index, (ids, labels, is_crowd, prediction, predicted_labels) in enumerate(images):
        target = as_target(ids, labels, is_crowd)
        parts[index % 2].update(segmented(prediction, predicted_labels), target)
    parts[0].merge(parts[1].state())
    expected = naive_counts(images)
    assert (expected[:5, 1:] > 20).all()
    torch.testing.assert_close(parts[0].state()[0], torch.from_numpy(expected), rtol=0, atol=1e-9)
    result = parts[0].compute()
    iou, tp, fp, fn = expected[:5].T
    pq = 100 * iou / (tp + fp / 2 + fn / 2)
    assert result.metrics["pq"] == pytest.approx(pq.mean(), abs=1e-9)
    assert result.metrics["pq_things"] == pytest.approx(pq[:3].mean(), abs=1e-9)
    assert result.metrics["pq_stuff"] == pytest.approx(pq[3:].mean(), abs=1e-9)
    assert [result.metrics[name] for name in ("n", "n_things", "n_stuff")] == [5, 3, 2]
    assert result.per_class["class 4"]["fp"] == fp[4]


def test_averages_over_no_class_are_undefined():
    metrics = PanopticQuality(CLASSES).compute().metrics
    assert np.isnan(metrics["pq"])
    assert metrics["n"] == 0


@pytest.mark.parametrize(
    ("prediction", "labels", "message"),
    [
        (np.zeros((4, 5), int), [0], r"\(4, 5\)"),
        (np.full((4, 4), 1), [0], "prediction holds ids from 1 to 1, but there are 1"),
        (np.full((4, 4), -2), [0], "ids from -2"),
        (np.zeros((4, 4), int), [6], "prediction holds classes from 6 to 6, but there are 6"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_added(prediction, labels, message):
    target = SegmentMap(
        torch.zeros(1, 4, 4, dtype=torch.int16), torch.tensor([0]), torch.tensor([False])
    )
    quality = PanopticQuality(CLASSES)
    with pytest.raises(ConfigurationError, match=message):
        quality.update(segmented(prediction, labels), target)
    assert not any(sums.any() for sums in quality.state())


def naive_by_boundary(images):
    """``[classes, 2]``: IoU and matches, masks eroded one by one with what is outside as ground."""
    counts = np.zeros((len(planted.CLASSES), 2))
    for ids, labels, is_crowd, prediction, predicted_labels in images:
        width = max(1, round(0.02 * np.hypot(*ids.shape)))

        def boundary(mask, width=width):
            inner = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width)
            return mask & ~inner

        for i, label in enumerate(labels):
            for j in np.flatnonzero(predicted_labels == label):
                truth, mask = ids == i, prediction == j
                if is_crowd[i] or not (truth & mask).any():
                    continue
                ious = []
                for one, other in ((truth, mask), (boundary(truth), boundary(mask))):
                    ious.append((one & other).sum() / (one | (other & (ids != -1))).sum())
                if min(ious) > 0.5:
                    counts[label] += [min(ious), 1]
    return counts


def test_boundary_figures_equal_a_naive_count():
    rng, quality, images = np.random.default_rng(0), {}, []
    for boundary in (False, True):
        quality[boundary] = PanopticQuality(planted.CLASSES, boundary=boundary)
    for _ in range(25):
        ids, labels = planted.random_scene(rng)
        prediction, guessed = planted.eroded(*planted.shifted(ids, labels, 0.5, rng), 0.3, rng)
        prediction, guessed = planted.class_wrong(prediction, guessed, 0.2, rng)
        ids = np.where(rng.random(len(labels) + 1)[ids] < 0.1, -1, ids)
        images.append((ids, labels, rng.random(len(labels)) < 0.1, prediction, guessed))
        for each in quality.values():
            each.update(segmented(prediction, guessed), as_target(*images[-1][:3]))
    expected, sums = naive_by_boundary(images), quality[True].state()[-1].numpy()
    assert expected[:, 1].min() > 3
    np.testing.assert_allclose(sums[:, :2], expected, atol=1e-9)
    metrics, of_masks = (quality[boundary].compute().metrics for boundary in (True, False))
    assert 0 < metrics["boundary_pq"] < metrics["pq"]
    assert {name: metrics[name] for name in of_masks} == of_masks
