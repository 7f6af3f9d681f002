"""Writing the names of segments on an image, so that none covers another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from scipy.ndimage import distance_transform_edt

from eomtlib.core.escaping import for_matplotlib
from eomtlib.report.explore.sources import Segments

MOST_LABELS = 20
_STEPS = 48
_OUTLINE = withStroke(linewidth=2, foreground="black")
_MARGIN = (4.0, 1.5)
"""Free space beside and above a label, in points."""


@dataclass(frozen=True)
class _Spot:
    """Where a segment is, and its label; places are pixels (x, y) of the image that is shown.

    Attributes:
        mask: ``[H, W]`` bool.
        anchor: the pixel deepest inside it.
        depth: that pixel's distance to the segment's border.
        label: the text, not yet in its place.
        half: half of the label's width and height, margins included.
    """

    mask: np.ndarray
    anchor: np.ndarray
    depth: float
    label: Text
    half: np.ndarray

    @property
    def area(self) -> int:
        return int(self.mask.sum())

    @property
    def is_roomy(self) -> bool:
        """Whether the label fits on the segment and leaves most of it to be seen."""
        return self.depth >= 1.2 * self.half[1] and self.area >= 12 * self.half.prod()


def write_labels(ax: Axes, segments: Segments, ids: np.ndarray, *, fontsize: float = 7.5) -> int:
    """Writes each segment's class and score on it, or beside it where it is too small.

    The axes must be where they will stay: the layout is done, and the image is shown.

    Args:
        ax: shows an image of the size of ``ids``.
        segments: what to write.
        ids: their map, as large as the image that is shown.
        fontsize: in points.

    Returns:
        How many of the segments have no label because there was no room for it.
    """
    spots = [_spot(ax, segments, ids, segment, fontsize) for segment in np.unique(ids[ids >= 0])]
    spots.sort(key=lambda spot: spot.area)
    small = np.any([np.zeros(ids.shape, bool), *(s.mask for s in spots if not s.is_roomy)], axis=0)
    taken: list[tuple[np.ndarray, np.ndarray]] = []
    # The small ones first: they have few places to choose from.
    for index, spot in enumerate(spots):
        too_many = index < len(spots) - MOST_LABELS
        centre = None if too_many else _place(spot, taken, small=small)
        if centre is None:
            spot.label.remove()
            continue
        spot.label.set_position(centre)
        taken.append((centre - spot.half, centre + spot.half))
        if _share(spot.mask, centre, spot.half) < 0.3:
            start = np.clip(spot.anchor, *taken[-1])
            ax.plot(
                *zip(start, spot.anchor, strict=True), color="white", lw=0.9, zorder=3,
                marker="o", ms=2.5, markevery=[1], path_effects=[_OUTLINE],
            )  # fmt: skip
    return len(spots) - len(taken)


def _spot(ax: Axes, segments: Segments, ids: np.ndarray, segment: int, fontsize: float) -> _Spot:
    mask = ids == segment
    # With a border around, so that the image's edge counts as the segment's.
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    label = ax.text(
        0, 0, for_matplotlib(segments.text(int(segment))), ha="center", va="center",
        fontsize=fontsize, color="white", zorder=4, path_effects=[_OUTLINE],
    )  # fmt: skip
    extent = label.get_window_extent()
    pixel = abs(np.diff(ax.get_xlim())[0]) / ax.get_window_extent().width
    margins = 2 * np.array(_MARGIN) * ax.figure.dpi / 72
    half = (np.array([extent.width, extent.height]) + margins) * pixel / 2
    anchor = np.array([column, row], float)
    return _Spot(mask, anchor, float(depth.max()), label, half)


def _place(
    spot: _Spot, taken: list[tuple[np.ndarray, np.ndarray]], *, small: np.ndarray
) -> np.ndarray | None:
    """The best centre for a label among a grid of places; None where all are taken."""
    size = np.array(spot.mask.shape[::-1])
    if (size <= 2 * spot.half).any():
        return None
    last = size - 1 - spot.half
    steps = [np.linspace(*ends, _STEPS) for ends in zip(spot.half, last, strict=True)]
    grid = np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 2)
    centres = np.vstack([grid, np.clip(spot.anchor, spot.half, last)])
    free = np.ones(len(centres), bool)
    for low, high in taken:
        free &= ((centres + spot.half < low) | (centres - spot.half > high)).any(axis=1)
    cost = 2 * np.hypot(*(centres - spot.anchor).T) / size.max()
    cost += 2 * _share(small, centres, spot.half)
    if spot.is_roomy:
        cost += 2 * (1 - _share(spot.mask, centres, spot.half))
    best = np.where(free, cost, np.inf).argmin()
    return centres[best] if free[best] else None


def _share(mask: np.ndarray, centres: np.ndarray, half: np.ndarray) -> np.ndarray:
    """How much of the boxes around ``[..., 2]`` centres a mask fills, from sums of its pixels."""
    sums = np.pad(mask, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    size = mask.shape[::-1]
    left, top = np.clip(np.round(centres - half), 0, size).astype(int).T
    right, bottom = np.clip(np.round(centres + half) + 1, 0, size).astype(int).T
    inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return inside / np.maximum((bottom - top) * (right - left), 1)
