"""Where the names of segments go on an image, so that none covers another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects

MOST_LABELS = 20
_STEPS = 32
_COARSE = 128
"""Shares of a label's box are counted on a map of at most so many pixels a side."""


@dataclass(frozen=True)
class Label:
    """Where a segment's name stands; places are pixels (x, y).

    Attributes:
        segment: its id.
        centre: of the text.
        line: from the text to the pixel deepest inside the segment, where the text is not on it.
    """

    segment: int
    centre: np.ndarray
    line: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True)
class _Spot:
    """Where a segment is, and how large its label.

    Attributes:
        segment: its id.
        area: in pixels.
        anchor: the pixel deepest inside it.
        depth: that pixel's distance to the segment's border.
        half: half of the label's width and height, margins included.
    """

    segment: int
    area: int
    anchor: np.ndarray
    depth: float
    half: np.ndarray

    @property
    def is_roomy(self) -> bool:
        """Whether the label fits on the segment and leaves most of it to be seen."""
        return self.depth >= 1.2 * self.half[1] and self.area >= 12 * self.half.prod()


def place_labels(ids: np.ndarray, halves: np.ndarray) -> list[Label]:
    """Places the names of the largest segments, on each or beside it where it is too small.

    Args:
        ids: ``[H, W]`` integers; −1 is void.
        halves: ``[S, 2]``, half the width and height of each id's text in pixels, margins included.

    Returns:
        At most ``MOST_LABELS``, without those that there was no room for.
    """
    areas = np.bincount(ids.ravel() + 1, minlength=len(halves) + 1)[1:]
    shown = np.flatnonzero(areas)
    largest = shown[areas[shown].argsort(kind="stable")][-MOST_LABELS:].tolist()
    boxes = find_objects(ids + 1)
    spots = [_spot(ids, i, boxes[i], int(areas[i]), halves[i]) for i in largest]
    step = -(-max(ids.shape) // _COARSE)
    coarse = ids[::step, ::step]
    is_small = np.append(np.ones(len(areas), bool), False)  # void, −1, is the last
    is_small[[spot.segment for spot in spots if spot.is_roomy]] = False
    small = _Shares(is_small[coarse], step)
    taken: list[tuple[np.ndarray, np.ndarray]] = []
    labels = []
    # The small ones first: they have few places to choose from.
    for spot in spots:
        own = _Shares(coarse == spot.segment, step)
        centre = _place(spot, ids.shape, taken, small=small, own=own)
        if centre is None:
            continue
        taken.append((centre - spot.half, centre + spot.half))
        is_on_it = own.of(centre, spot.half) >= 0.3
        line = None if is_on_it else (np.clip(spot.anchor, *taken[-1]), spot.anchor)
        labels.append(Label(spot.segment, centre, line))
    return labels


class _Shares:
    """How much of boxes a mask fills, from sums of its pixels; only every ``step``-th is known."""

    def __init__(self, mask: np.ndarray, step: int) -> None:
        self._sums, self._step = np.pad(mask, ((1, 0), (1, 0))).cumsum(0).cumsum(1), step

    def of(self, centres: np.ndarray, half: np.ndarray) -> np.ndarray:
        """Of the boxes around ``[..., 2]`` centres."""
        size, sums = np.array(self._sums.shape[::-1]) - 1, self._sums
        low, high = (centres - half) / self._step, (centres + half) / self._step
        left, top = np.clip(np.round(low), 0, size).astype(int).T
        right, bottom = np.clip(np.round(high) + 1, 0, size).astype(int).T
        inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        return inside / np.maximum((bottom - top) * (right - left), 1)


def _spot(
    ids: np.ndarray, segment: int, box: tuple[slice, slice], area: int, half: np.ndarray
) -> _Spot:
    rows, columns = box
    step = -(-max(rows.stop - rows.start, columns.stop - columns.start) // _COARSE)
    mask = ids[rows.start : rows.stop : step, columns.start : columns.stop : step] == segment
    if not mask.any():  # too thin to be met
        step, mask = 1, ids[box] == segment
    # With a border around, so that the image's edge counts as the segment's.
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    anchor = np.array([columns.start + step * column, rows.start + step * row], float)
    return _Spot(segment, area, anchor, step * float(depth.max()), half)


def _place(
    spot: _Spot,
    shape: tuple[int, ...],
    taken: list[tuple[np.ndarray, np.ndarray]],
    *,
    small: _Shares,
    own: _Shares,
) -> np.ndarray | None:
    """The best centre for a label among a grid of places; None where all are taken."""
    size = np.array(shape[::-1])
    if (size <= 2 * spot.half).any():
        return None
    last = size - 1 - spot.half
    steps = [np.linspace(*ends, _STEPS) for ends in zip(spot.half, last, strict=True)]
    grid = np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 2)
    centres = np.vstack([grid, np.clip(spot.anchor, spot.half, last)])
    for low, high in taken:
        x, y = ((centres > low - spot.half) & (centres < high + spot.half)).T
        centres = centres[~(x & y)]
    if not len(centres):
        return None
    cost = 2 * np.hypot(*(centres - spot.anchor).T) / size.max()
    cost += 2 * small.of(centres, spot.half)
    if spot.is_roomy:
        cost += 2 * (1 - own.of(centres, spot.half))
    return centres[cost.argmin()]
