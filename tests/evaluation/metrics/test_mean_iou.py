import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.evaluation.metrics.mean_iou import MeanIoU

CLASSES = tuple(ClassInfo(f"class {i}", i < 3, 10 + i) for i in range(7))


def random_image(rng, size=(20, 31)):
    """A target of classes 0 to 4, each one segment, with void; a prediction that is half right."""
    labels = rng.permutation(5)[: rng.integers(1, 6)]
    ids = rng.integers(-1, len(labels), size)
    truth = np.append(labels, -1)[ids]
    prediction = np.where(rng.random(size) < 0.5, truth.clip(0), rng.integers(0, 6, size))
    segments = SegmentMap(
        torch.from_numpy(ids.astype(np.int16))[None],
        torch.from_numpy(labels),
        torch.zeros(len(labels), dtype=torch.bool),
    )
    return torch.from_numpy(prediction), torch.from_numpy(truth), segments


def test_equals_torchmetrics_and_adds_up_over_processes():
    rng = np.random.default_rng(0)
    parts = [MeanIoU(CLASSES) for _ in range(2)]
    peers = {
        average: MulticlassJaccardIndex(num_classes=7, ignore_index=-1, average=average)
        for average in ("macro", "none")
    }
    for index in range(12):
        prediction, truth, segments = random_image(rng)
        parts[index % 2].update(prediction, segments)
        for peer in peers.values():
            peer.update(prediction, truth)
    parts[0].merge(parts[1].state())
    result = parts[0].compute()
    # Classes 0 to 4 occur, class 5 is only predicted, and class 6 never occurs.
    assert result.metrics["n"] == 6
    assert result.metrics["miou"] == pytest.approx(100 * peers["macro"].compute().item(), abs=1e-4)
    found = [result.per_class[info.name]["iou"] for info in CLASSES]
    assert found == pytest.approx((100 * peers["none"].compute()).tolist(), abs=1e-4)
    assert parts[0].state().dtype == torch.int64


def test_void_and_crowds_do_not_count():
    ids = torch.tensor([[[0, 0, 1, 2, -1, -1]]], dtype=torch.int16)
    target = SegmentMap(ids, torch.tensor([3, 1, 3]), torch.tensor([False, False, True]))
    metric = MeanIoU(CLASSES)
    metric.update(torch.tensor([[3, 1, 1, 6, 5, 3]]), target)
    result = metric.compute()
    assert result.per_class["class 3"] == {"iou": 50, "pixels": 2, "predicted": 1}
    assert result.per_class["class 1"] == {"iou": 50, "pixels": 1, "predicted": 2}
    assert result.metrics == {"miou": 50, "n": 2}


def test_a_mean_over_no_class_is_undefined():
    assert np.isnan(MeanIoU(CLASSES).compute().metrics["miou"])


@pytest.mark.parametrize(
    ("prediction", "labels", "message"),
    [
        (torch.zeros(4, 5).long(), [0], r"\(4, 5\)"),
        (torch.full((4, 4), 7), [0], "classes from 7 to 7, but there are 7"),
        (torch.full((4, 4), -1), [0], "classes from -1"),
        (torch.zeros(4, 4).long(), [7], "target holds classes from 7 to 7, but there are 7"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_added(prediction, labels, message):
    target = SegmentMap(
        torch.zeros(1, 4, 4, dtype=torch.int16), torch.tensor(labels), torch.tensor([False])
    )
    metric = MeanIoU(CLASSES)
    with pytest.raises(ConfigurationError, match=message):
        metric.update(prediction, target)
    assert not metric.state().any()
    with pytest.raises(ConfigurationError, match="7 classes"):
        metric.merge(torch.zeros(6, 6))


def test_pairs_of_classes_have_the_loss_between_them():
    rng, metric = np.random.default_rng(2), MeanIoU(CLASSES[:3])
    truth, found = rng.integers(0, 3, (2, 30, 40))
    found = np.where(rng.random(truth.shape) < 0.7, truth, found)
    none = torch.zeros(3, dtype=torch.bool)
    ids = torch.from_numpy(truth.astype(np.int16))[None]
    metric.update(torch.from_numpy(found), SegmentMap(ids, torch.arange(3), none))
    result = metric.compute()
    pairs = result.errors["pairs"]
    assert len(pairs) == 6
    losses = [pair["loss"] for pair in pairs]
    assert losses == sorted(losses, reverse=True)
    assert sum(losses) == pytest.approx(100 - result.metrics["miou"])
    unions = [((truth == c) | (found == c)).sum() for c in range(3)]
    worst = [
        CLASSES.index(next(i for i in CLASSES if i.name == pairs[0][k]))
        for k in ("true", "predicted")
    ]
    taken = ((truth == worst[0]) & (found == worst[1])).sum()
    assert losses[0] == pytest.approx(100 / 3 * sum(taken / unions[c] for c in worst))
