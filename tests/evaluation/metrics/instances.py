"""Images with overlapping instances of all sizes, crowds, and detections that nearly find them."""

import numpy as np
import torch

from eomtlib.core.structures import ClassInfo, SegmentMap

CLASSES = tuple(ClassInfo(f"class {i}", True, 10 + 3 * i) for i in range(4))
SIZE = (150, 190)


def random_image(rng):
    """A prediction, its target in layers, and the target's masks; class 3 is only predicted."""
    count = int(rng.integers(2, 9))
    masks = np.stack([_box(rng) for _ in range(count)])
    labels, is_crowd = rng.integers(0, 3, count), rng.random(count) < 0.2
    # One layer for each instance is a valid, if wasteful, target.
    ids = np.where(masks, np.arange(count)[:, None, None], -1).astype(np.int16)
    target = SegmentMap(*(torch.from_numpy(array) for array in (ids, labels, is_crowd)))
    shifts = rng.integers(-6, 7, (count, 2))
    found = [np.roll(mask, shift, (0, 1)) for mask, shift in zip(masks, shifts, strict=True)]
    found += [_box(rng) for _ in range(4)]
    guessed = np.where(rng.random(count) < 0.8, labels, rng.integers(0, 4, count))
    guessed = [*guessed.tolist(), *rng.integers(0, 4, 4).tolist()]
    infos = [
        {"id": place, "label_id": label, "score": float(rng.random())}
        for place, label in enumerate(guessed)
    ]
    prediction = {"segmentation": torch.from_numpy(np.stack(found)), "segments_info": infos}
    return prediction, target, torch.from_numpy(masks)


def _box(rng):
    mask = np.zeros(SIZE, bool)
    height, width = rng.integers(12, 140, 2)
    top, left = rng.integers(0, SIZE[0] - 8), rng.integers(0, SIZE[1] - 8)
    mask[top : top + height, left : left + width] = True
    return mask
