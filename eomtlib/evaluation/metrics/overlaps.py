"""What an image's predicted segments share with its true ones: all that panoptic quality knows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from eomtlib.core.structures import VOID, SegmentMap

DILATION = 0.02
"""Width of a mask's boundary as a share of the image's diagonal (Cheng et al., *Boundary IoU*, CVPR
2021)."""


@dataclass(frozen=True)
class Overlaps:
    """S true segments, P predicted ones, and the pixels of every pair.

    Attributes:
        areas: ``[S + 1, P + 1]`` int64 pixel counts, void in row 0 and nothing in column 0.
        truth, labels: ``[S]`` and ``[P]`` int64, their classes.
        is_crowd: ``[S]`` bool.
        boundaries: ``[S + 2, P + 2]``, the same counts without the interior of segments, which is
            in the last row and column, where IoU is the smaller one of masks and boundaries; else
            None.
    """

    areas: np.ndarray
    truth: np.ndarray
    labels: np.ndarray
    is_crowd: np.ndarray
    boundaries: np.ndarray | None = None

    @property
    def pixels(self) -> np.ndarray:
        """``[S, P]``, without void and nothing."""
        return self.areas[1:, 1:]

    @cached_property
    def true_areas(self) -> np.ndarray:
        """``[S]`` pixels of each true segment."""
        return self.areas[1:].sum(1)

    @cached_property
    def found_areas(self) -> np.ndarray:
        """``[P]`` pixels of each predicted one, those on void among them."""
        return self.areas[:, 1:].sum(0)

    @cached_property
    def same_class(self) -> np.ndarray:
        """``[S, P]`` bool, of true segments that are no crowds."""
        return (self.truth[:, None] == self.labels) & ~self.is_crowd[:, None]

    @cached_property
    def excused(self) -> np.ndarray:
        """``[P]`` bool: more than half on void or the last crowd of its class, or not shown."""
        on_crowd = np.zeros(len(self.labels), np.int64)
        for index in np.flatnonzero(self.is_crowd):
            own = self.labels == self.truth[index]
            on_crowd[own] = self.pixels[index, own]
        excused = self.areas[0, 1:] + on_crowd
        return (excused > 0.5 * self.found_areas) | (self.found_areas == 0)

    @cached_property
    def owners(self) -> np.ndarray:
        """``[P]``, the true segment that each prediction belongs to, −1 where to none.

        It is of its class, and covers more than half of it (void left out) or is covered by it for
        more than half; of several, the one that it shares most with. What is excused belongs to
        none.
        """
        if not len(self.truth):
            return np.full(len(self.labels), -1)
        counted = ~self.excused
        counted[self.matches.found] = True
        inside = self.pixels > 0.5 * (self.found_areas - self.areas[0, 1:])
        around = self.pixels > 0.5 * self.true_areas[:, None]
        linked = self.same_class & (inside | around) & counted
        return np.where(linked.any(0), (self.pixels * linked).argmax(0), -1)

    def iou(self, chosen: np.ndarray) -> np.ndarray:
        """``[S, P]`` intersection over union of the chosen pairs, void left out; else 0."""
        chosen = chosen & (self.pixels > 0)
        iou = _iou(self.areas, chosen)
        return iou if self.boundaries is None else np.minimum(iou, _iou(self.boundaries, chosen))

    @cached_property
    def matches(self) -> Matches:
        """Pairs of one class with an IoU above one half, and what is left over."""
        iou = self.iou(self.same_class)
        # Both sides are free of overlap, so an IoU above one half leaves room for no second match.
        true, found = np.nonzero(iou > 0.5)
        missed, wrong = ~self.is_crowd, ~self.excused
        missed[true] = False
        wrong[found] = False
        return Matches(true, found, iou[true, found], missed, wrong)


@dataclass(frozen=True)
class Matches:
    """The outcome of an image.

    Attributes:
        true, found: ``[M]`` indices of the pairs.
        iou: ``[M]`` of them.
        missed: ``[S]`` bool, false negatives.
        wrong: ``[P]`` bool, false positives.
    """

    true: np.ndarray
    found: np.ndarray
    iou: np.ndarray
    missed: np.ndarray
    wrong: np.ndarray


def overlaps(prediction_ids: Tensor, labels: np.ndarray, target: SegmentMap) -> Overlaps:
    """By one count over the image, on the device that the prediction is on.

    Args:
        prediction_ids: ``[H, W]`` positions in ``labels``, −1 for nothing.
        labels: ``[P]`` int64.
        target: in one layer.
    """
    truth, is_crowd = target.labels.cpu().numpy(), target.is_crowd.cpu().numpy()
    target_ids = target.ids[0].to(prediction_ids.device)
    areas = _counts(target_ids, prediction_ids, (len(truth), len(labels)))
    return Overlaps(areas, truth, labels, is_crowd)


def boundary_overlaps(prediction_ids: Tensor, target: SegmentMap, image: Overlaps) -> np.ndarray:
    """The ``boundaries`` of an image's overlaps."""
    true, found = len(image.truth), len(image.labels)
    maps = (target.ids[0], true), (prediction_ids, found)
    bare = [_without_interior(ids.cpu().numpy(), interior=count) for ids, count in maps]
    return _counts(*map(torch.from_numpy, bare), (true + 1, found + 1))


def _counts(true_ids: Tensor, found_ids: Tensor, sizes: tuple[int, int]) -> np.ndarray:
    rows, columns = sizes[0] + 1, sizes[1] + 1
    pairs = (true_ids.int() - VOID) * columns + (found_ids.int() - VOID)
    counts = torch.bincount(pairs.flatten(), minlength=rows * columns)
    return counts.view(rows, columns).cpu().numpy()


def _without_interior(ids: np.ndarray, *, interior: int) -> np.ndarray:
    """A map with a number for all pixels that erosion leaves to their segment.

    Eroded is whatever lies within a square around a pixel of another segment, or around one outside
    of the image: for all segments at once, where a minimum is no maximum.
    """
    side = 2 * max(1, round(DILATION * math.hypot(*ids.shape))) + 1
    outside = VOID - 1
    low = ndimage.minimum_filter(ids, side, mode="constant", cval=outside)
    high = ndimage.maximum_filter(ids, side, mode="constant", cval=outside)
    return np.where((low == high) & (ids != VOID), interior, ids)


def _iou(areas: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    inner = tuple(slice(1, count + 1) for count in chosen.shape)
    intersection = areas[inner]
    true, found = areas[inner[0]].sum(1), areas[:, inner[1]].sum(0)
    union = true[:, None] + found - intersection - areas[0, inner[1]]
    return np.divide(intersection, union, where=chosen, out=np.zeros(chosen.shape))
