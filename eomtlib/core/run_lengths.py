"""Masks as COCO's compressed run lengths (pycocotools), some hundred bytes for a mask.

The format counts pixels column by column, background first: https://cocodataset.org/#format-results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from torch import Tensor

from eomtlib.core.structures import SegmentMap


@dataclass(frozen=True)
class RunLengths:
    """K masks of one size, which may overlap.

    Attributes:
        size: height and width.
        counts: the compressed counts of each.
    """

    size: tuple[int, int]
    counts: Sequence[bytes]

    @classmethod
    def of(cls, masks: Tensor | RunLengths) -> RunLengths:
        """``[K, H, W]`` bool, on any device; run lengths as they are."""
        if isinstance(masks, RunLengths):
            return masks
        # Transposed where the masks are, so that what arrives lies column by column.
        columns = masks.transpose(1, 2).contiguous().cpu().numpy().view(np.uint8)
        counts = [entry["counts"] for entry in coco_mask.encode(columns.T)]
        return cls((masks.shape[1], masks.shape[2]), counts)

    @classmethod
    def of_segments(cls, segments: SegmentMap) -> RunLengths:
        """Of each segment of a map; no mask is made.

        Args:
            segments: of any number of layers, on the CPU, without ids that have no label. A segment
                that does not show has an empty mask.
        """
        pixels = segments.size[0] * segments.size[1]
        # All background, where a segment does not show.
        runs = [[pixels]] * segments.num_segments
        for layer in segments.ids.numpy():
            flat = layer.T.ravel()
            borders = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [pixels]))
            values = flat[borders[:-1]]
            for segment in np.unique(values[values >= 0]):
                own = np.stack((borders[:-1], borders[1:]), axis=1)[values == segment]
                runs[segment] = np.diff(own.ravel(), prepend=0, append=pixels).tolist()
        entries = [{"size": list(segments.size), "counts": counts} for counts in runs]
        counts = [coco_mask.frPyObjects(entry, *segments.size)["counts"] for entry in entries]
        return cls(segments.size, counts)

    def __len__(self) -> int:
        return len(self.counts)

    def entries(self) -> list[dict[str, Any]]:
        """Each as pycocotools takes it, and JSON but for its counts."""
        return [{"size": list(self.size), "counts": counts} for counts in self.counts]

    def areas(self) -> list[int]:
        """Pixels of each."""
        # One by one, as pycocotools takes at most 255 at once.
        return [int(coco_mask.area(entry)) for entry in self.entries()]

    def boxes(self) -> list[list[float]]:
        """Of each left, top, width and height of its box, in pixels, as COCO's annotations."""
        return [box.tolist() for box in coco_mask.toBbox(self.entries())]

    def boxed(self, index: int) -> tuple[np.ndarray, tuple[int, int]]:
        """A mask as ``mask_in_box`` gives it."""
        return mask_in_box(numbers_of(self.counts[index]), self.size[0])


def mask_in_box(counts: np.ndarray, height: int) -> tuple[np.ndarray, tuple[int, int]]:
    """A mask, cut to its bounding box; nothing as large as the image is made.

    Args:
        counts: ``[R]`` int64, background first.
        height: of the image.

    Returns:
        ``[h, w]`` bool, and the row and column of its upper left corner; ``[0, 0]`` for a mask
        without pixels.
    """
    borders = np.cumsum(counts)
    first, end = borders[: len(counts) // 2 * 2].reshape(-1, 2).T
    shown = end > first
    first, last = first[shown], end[shown] - 1
    if not len(first):
        return np.zeros((0, 0), bool), (0, 0)
    (left, top), (right, bottom) = np.divmod(first, height), np.divmod(last, height)
    # A run that goes on in the next column has pixels in the last row and in the first.
    goes_on = (left != right).any()
    begin, stop = (0, height) if goes_on else (int(top.min()), int(bottom.max()) + 1)
    rows, start = stop - begin, int(left[0])
    flat = np.zeros((int(right[-1]) - start + 1) * rows + 1, np.int8)
    flat[(left - start) * rows + top - begin] += 1
    flat[(right - start) * rows + bottom - begin + 1] -= 1
    mask = np.cumsum(flat[:-1], dtype=np.int8).view(bool).reshape(-1, rows).T
    return np.ascontiguousarray(mask), (begin, start)


def numbers_of(text: bytes) -> np.ndarray:
    """The run lengths of COCO's text of them, ``[R]`` int64; none for what is no such text.

    Each character holds 5 bits of a number, the lowest first, and whether more follow; the last of
    a number also its sign. From the fourth number on it is the difference to the last but one.
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    last = codes & 32 == 0
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or not last[-1]:
        return codes[:0]
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, ends - starts + 1))
    if shifts.max() > 30:
        return codes[:0]
    numbers = np.add.reduceat((codes & 31) << shifts, starts)
    numbers -= (codes[ends] >> 4 & 1) << (shifts[ends] + 5)
    for chain in (numbers[1::2], numbers[2::2]):
        np.cumsum(chain, out=chain)
    return numbers
