import pytest
import torch

from eomtlib.evaluation.evaluate import evaluate_panoptic
from eomtlib.structures import Batch, ClassInfo, SegmentMap

CLASSES = (ClassInfo("cup", True, 1), ClassInfo("table", False, 2), ClassInfo("sky", False, 3))
CANVAS = (32, 32)


def make_batch(sizes):
    """Images whose red channel says which segment a pixel belongs to, on a zero-padded canvas."""
    images, segments = torch.zeros(len(sizes), 3, *CANVAS, dtype=torch.uint8), []
    for image, (height, width) in zip(images, sizes, strict=True):
        ids = torch.zeros(height, width, dtype=torch.int16)
        ids[height // 2 :] = 1
        ids[2:9, 3:9] = 2
        image[0, :height, :width] = 50 * (ids + 1).to(torch.uint8)
        segments.append(SegmentMap(ids[None], torch.tensor([2, 1, 0]), torch.zeros(3).bool()))
    count = len(sizes)
    return Batch(images, tuple(segments), (0,) * count, (0,) * count, tuple(sizes))


def oracle(images):
    assert images.dtype == torch.uint8
    masks = torch.stack([images[:, 0] == 50 * (i + 1) for i in range(3)], 1).float() * 20 - 10
    classes = torch.tensor([2, 1, 0])
    return masks, torch.nn.functional.one_hot(classes, 4).float().expand(len(images), 3, 4) * 20


def evaluate(predict):
    # Images that fill one side of the canvas, so that fitting leaves their pixels alone.
    loader = [make_batch([(32, 20), (32, 32)]), make_batch([(24, 32)])]
    return evaluate_panoptic(
        predict, loader, classes=CLASSES, input_size=CANVAS, device="cpu", progress=False
    )


def test_an_oracle_reaches_the_whole():
    result = evaluate(oracle)
    assert result.metrics["pq"] == pytest.approx(100)
    assert result.metrics["n"] == 3
    assert result.per_class["cup"]["tp"] == 3


def test_thresholds_and_classes_count():
    def wrong_about_cups(images):
        masks, classes = oracle(images)
        return masks, classes[..., [1, 0, 2, 3]]

    result = evaluate(wrong_about_cups)
    assert result.metrics["pq_things"] == 0
    assert result.per_class["sky"]["pq"] == pytest.approx(100)
    assert result.per_class["table"]["fp"] == 3
