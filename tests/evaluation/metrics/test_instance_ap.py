from dataclasses import fields

import numpy as np
import pytest
import torch
from torchmetrics.detection import MeanAveragePrecision

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.evaluation.metrics.coco_backend import Detections, evaluated
from eomtlib.evaluation.metrics.instance_ap import InstanceAP
from tests.evaluation.metrics.instances import CLASSES, random_image

NAMES = {
    "ap": "map",
    "ap50": "map_50",
    "ap75": "map_75",
    "ap_small": "map_small",
    "ap_medium": "map_medium",
    "ap_large": "map_large",
}


def test_equals_torchmetrics_and_adds_up_over_processes():
    rng = np.random.default_rng(0)
    parts = [InstanceAP(CLASSES) for _ in range(2)]
    # pycocotools' own thresholds: torchmetrics makes them in float32, which reads lower.
    peer = MeanAveragePrecision(
        iou_type="segm",
        class_metrics=True,
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0, 1, 101).tolist(),
    )
    for index in range(10):
        prediction, target, masks = random_image(rng)
        parts[index >= 5].update(prediction, target)
        infos = prediction["segments_info"]
        peer.update(
            [
                {
                    "masks": prediction["segmentation"],
                    "scores": torch.tensor([info["score"] for info in infos], dtype=torch.float64),
                    "labels": torch.tensor([info["label_id"] for info in infos], dtype=torch.int64),
                }
            ],
            [{"masks": masks, "labels": target.labels, "iscrowd": target.is_crowd.int()}],
        )
    parts[0].merge(parts[1].state())
    result, theirs = parts[0].compute(), peer.compute()
    assert 10 < result.metrics["ap"] < 90
    for ours, other in NAMES.items():
        assert result.metrics[ours] == pytest.approx(100 * theirs[other].item(), abs=1e-4)
    per_class = dict(zip(theirs["classes"].tolist(), theirs["map_per_class"].tolist(), strict=True))
    for index, info in enumerate(CLASSES):
        expected = 100 * max(per_class.get(index, 0.0), 0.0)
        assert result.per_class[info.name]["ap"] == pytest.approx(expected, abs=1e-4)
    assert result.per_class["class 3"]["instances"] == 0
    assert result.metrics["n"] == 3


def test_perfect_detections_reach_the_whole_and_unseen_sizes_are_undefined():
    target = SegmentMap(
        torch.arange(12).view(1, 3, 4).short() // 6, torch.tensor([0, 2]), torch.zeros(2).bool()
    )
    masks = torch.stack([target.ids[0] == index for index in range(2)])
    infos = [{"id": i, "label_id": label, "score": 0.5} for i, label in enumerate((0, 2))]
    metric = InstanceAP(CLASSES)
    assert np.isnan(metric.compute().metrics["ap"])
    metric.update({"segmentation": masks, "segments_info": infos}, target)
    empty = SegmentMap(
        torch.full((1, 2, 2), -1).short(), torch.zeros(0).long(), torch.zeros(0).bool()
    )
    metric.update({"segmentation": masks[:0, :2, :2], "segments_info": []}, empty)
    metrics = metric.compute().metrics
    assert [metrics[name] for name in ("ap", "ap50", "ap75", "ap_small")] == pytest.approx(
        [100] * 4
    )
    assert np.isnan([metrics["ap_medium"], metrics["ap_large"]]).all()


@pytest.mark.parametrize(
    ("size", "labels", "message"),
    [
        ((2, 4, 4), [0], "2 masks, but 1"),
        ((1, 4, 5), [0], r"\(4, 5\)"),
        ((1, 4, 4), [4], "from 4 to 4"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_added(size, labels, message):
    target = SegmentMap(
        torch.zeros(1, 4, 4, dtype=torch.int16), torch.tensor([0]), torch.tensor([False])
    )
    infos = [{"id": 0, "label_id": label, "score": 1.0} for label in labels]
    metric = InstanceAP(CLASSES)
    with pytest.raises(ConfigurationError, match=message):
        metric.update({"segmentation": torch.ones(size).bool(), "segments_info": infos}, target)
    assert metric.state() == (4, [])
    with pytest.raises(ConfigurationError, match="3 classes does not fit 4"):
        metric.merge(InstanceAP(CLASSES[:3]).state())
    with pytest.raises(ConfigurationError, match="same name"):
        InstanceAP([ClassInfo("a", True, 1), ClassInfo("a", True, 2)])


def test_ids_without_a_label_are_refused():
    target = SegmentMap(torch.full((1, 2, 2), 3).short(), torch.zeros(3), torch.zeros(3).bool())
    segmented = {"segmentation": torch.zeros(0, 2, 2).bool(), "segments_info": []}
    with pytest.raises(ConfigurationError, match="target holds ids from 3 to 3, but there are 3"):
        InstanceAP(CLASSES).update(segmented, target)


def test_hotcoco_comes_to_the_same_bit_for_bit():
    pytest.importorskip("hotcoco")
    rng, metric = np.random.default_rng(0), InstanceAP(CLASSES)
    for _ in range(40):
        metric.update(*random_image(rng)[:2])
    images = metric.state()[1]
    ours, theirs = (
        evaluated(images, num_classes=4, max_dets=100, by_hotcoco=fast) for fast in (False, True)
    )
    assert (ours.precision > 0.5).any()
    assert np.array_equal(ours.precision, theirs.precision)
    for one, other in zip(ours.by_class, theirs.by_class, strict=True):
        for f in fields(Detections):
            assert np.array_equal(getattr(one, f.name), getattr(other, f.name))


def test_of_more_detections_than_count_the_surest_count():
    rng, images = np.random.default_rng(1), []
    metric, cut = InstanceAP(CLASSES, max_dets=1), InstanceAP(CLASSES)
    for _ in range(8):
        prediction, target, _ = random_image(rng)
        metric.update(prediction, target)
        infos = prediction["segments_info"]
        best = {}
        for place in sorted(range(len(infos)), key=lambda place: infos[place]["score"]):
            best[infos[place]["label_id"]] = place
        kept = sorted(best.values())
        images.append(len(infos) - len(kept))
        masks = prediction["segmentation"][kept]
        cut.update({"segmentation": masks, "segments_info": [infos[i] for i in kept]}, target)
    assert sum(images) > 8
    assert metric.compute() == cut.compute()
    with pytest.raises(ConfigurationError, match="max_dets=0"):
        InstanceAP(CLASSES, max_dets=0)


def test_scores_are_held_against_matches():
    target = SegmentMap(
        torch.arange(12).view(1, 3, 4).short() // 6, torch.tensor([0, 0]), torch.zeros(2).bool()
    )
    masks = torch.stack([target.ids[0] == index for index in (0, 1, 1)])
    infos = [{"label_id": label, "score": s} for label, s in ((0, 0.9), (0, 0.62), (1, 0.61))]
    metric = InstanceAP(CLASSES)
    metric.update({"segmentation": masks, "segments_info": infos}, target)
    bins = metric.compute().errors["reliability"]["bins"]
    assert [(b["predictions"], b["right"]) for b in bins] == [(2, 50), (1, 100)]
