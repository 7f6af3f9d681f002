"""Pixels by true and by predicted class, against a loop over pixels."""

import numpy as np
import pytest
import torch

from eomtlib.core.structures import SegmentMap
from eomtlib.evaluation.metrics.confusion import as_texts, count_pixels, from_texts
from eomtlib.inference.tasks import get_task
from tests.evaluation.metrics import instances, panoptic


def semantic_image(rng):
    labels = rng.permutation(5)[:3]
    ids = rng.integers(-1, 3, (20, 24)).astype(np.int16)
    target = SegmentMap(
        torch.from_numpy(ids[None]),
        torch.from_numpy(labels),
        torch.from_numpy(rng.random(3) < 0.3),
    )
    return torch.from_numpy(rng.integers(0, 5, (20, 24))), target


IMAGES = {
    "semantic": (semantic_image, 5),
    "panoptic": (panoptic.random_pair, len(panoptic.CLASSES)),
    "instance": (lambda rng: instances.random_image(rng)[:2], len(instances.CLASSES)),
}


def predicted_at(task, segmented, row, column):
    """The class that a picture shows in a pixel; None for nothing."""
    if task == "semantic":
        return int(segmented[row, column])
    infos = segmented["segments_info"]
    if task == "panoptic":
        place = int(segmented["segmentation"][row, column])
        return infos[place]["label_id"] if place >= 0 else None
    there = [
        (info["score"], info["label_id"])
        for mask, info in zip(segmented["segmentation"].numpy(), infos, strict=True)
        if mask[row, column] and info["score"] >= 0.5
    ]
    return max(there)[1] if there else None


def by_loop(task, segmented, target, count):
    counts = np.zeros((count + 1, count + 1), int)
    ids = target.ids.numpy()
    for row in range(ids.shape[1]):
        for column in range(ids.shape[2]):
            segment = ids[:, row, column].max()
            if segment < 0:
                truth = count if task == "instance" else None
            else:
                truth = None if target.is_crowd[segment] else int(target.labels[segment])
            if truth is not None:
                found = predicted_at(task, segmented, row, column)
                counts[truth, count if found is None else found] += 1
    return counts


def counted(task, images, count):
    chosen = get_task(task)
    return sum(
        count_pixels(
            chosen.paint(segmented),
            target,
            num_classes=count,
            has_background=chosen.has_background,
        )
        for segmented, target in images
    )


@pytest.mark.parametrize("task", IMAGES)
def test_counts_are_those_of_a_loop_over_pixels_and_add_up(task):
    rng = np.random.default_rng(3)
    draw, count = IMAGES[task]
    images = [draw(rng) for _ in range(4 if task == "instance" else 12)]
    expected = sum(by_loop(task, *image, count) for image in images)
    assert (counted(task, images, count) == expected).all()
    # Of two processes, each with a share.
    shares = [counted(task, images[rank::2], count) for rank in range(2)]
    assert (shares[0] + shares[1] == expected).all()
    assert (expected[-1].sum() > 0) == (task == "instance")
    assert (expected[:, -1].sum() > 0) == (task != "semantic")


def test_texts_hold_all_that_is_not_zero():
    counts = np.random.default_rng(0).integers(-9, 10**12, (8, 8)).clip(0)
    counts[3] = 0
    texts = as_texts(counts.tolist())
    assert len(texts) == 8
    assert texts[3] == ""
    assert (from_texts(texts) == counts).all()
    assert from_texts(()).shape == (0, 0)


@pytest.mark.parametrize("text", ["5:1", "0:x", "0", "0:-3", "-3:1", "0:1:2", f"0:{10**30}"])
def test_what_is_no_row_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        from_texts([text, "1:2"])
