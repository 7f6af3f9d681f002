"""Which class is taken for which, of any task: pixels by their true and by their predicted class.

Pixels, not segments: they need no matching, so that one count serves all tasks and adds up over
images and processes, and a segment that was not found still says what stands in its place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from eomtlib.core.structures import SegmentMap
from eomtlib.inference.painting import Painted

Confusion = tuple[tuple[int, ...], ...]
"""Pixels of each pair: a row for each true class, a column for each predicted one. The last of both
is no class: nothing was predicted there, or, of instances, there is none."""

NOTHING = "(nothing)"
"""What no class is called."""


def count_pixels(
    painted: Painted, target: SegmentMap, *, num_classes: int, has_background: bool
) -> np.ndarray:
    """The confusion of an image. Void and crowds are left out, whatever was predicted there.

    Args:
        painted: what was predicted, as pictures show it, on any device.
        target: the ground truth at the same size, on the CPU. Of overlapping segments, those of
            later layers lie in front.
        num_classes: of the data set.
        has_background: whether no segment means that nothing is there, as of instances, and not
            that nobody knows.

    Returns:
        ``[classes + 1, classes + 1]`` int64, as ``Confusion``.
    """
    left_out, size, device = num_classes + 1, num_classes + 1, painted.ids.device
    beyond = num_classes if has_background else left_out
    # The last entry stands for no segment, which −1 points to.
    rows = [*torch.where(target.is_crowd, left_out, target.labels).tolist(), beyond]
    columns = torch.tensor([*painted.labels, num_classes], device=device)[painted.ids.long()]
    truth = torch.tensor(rows, device=device)[target.ids.amax(0).to(device).long()]
    counts = torch.bincount((truth * size + columns).flatten(), minlength=(size + 1) * size)
    return counts.view(size + 1, size)[:size].cpu().numpy()


def as_texts(confusion: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """A text for each row, its pixels that are not zero by column: ``0:1200 7:35``."""
    return tuple(" ".join(f"{k}:{n}" for k, n in enumerate(row) if n) for row in confusion)


def from_texts(texts: Sequence[str]) -> np.ndarray:
    """``[rows, rows]`` int64 of what ``as_texts`` wrote.

    Raises:
        ValueError: naming the first text that is no row of such a square.
    """
    counts = np.zeros((len(texts),) * 2, np.int64)
    for row, text in enumerate(texts):
        try:
            for column, pixels in (map(int, pair.split(":")) for pair in text.split()):
                counts[row, column] = pixels
        except (ValueError, IndexError, OverflowError) as error:
            raise ValueError(text[:80]) from error
    if (counts < 0).any():
        raise ValueError("a negative number")
    return counts
