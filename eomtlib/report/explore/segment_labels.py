"""Writing the names of segments on an image, so that none covers another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from scipy.ndimage import distance_transform_edt

from eomtlib.report.explore.segments import Segments

MOST_LABELS = 20
_STEPS = 48
_OUTLINE = withStroke(linewidth=2, foreground="black")
_MARGIN = (4.0, 1.5)
"""Free space beside and above a label, in points."""


@dataclass(frozen=True)
class _Spot:
    """Where a segment is.

    Attributes:
        segment: its position in the labels.
        mask: ``[H, W]`` bool.
        anchor: the pixel (x, y) deepest inside it.
        depth: that pixel's distance to the segment's border.
    """

    segment: int
    mask: np.ndarray
    anchor: tuple[float, float]
    depth: float

    @property
    def area(self) -> int:
        return int(self.mask.sum())


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
    spots = sorted(_spots(ids), key=lambda spot: spot.area)
    dropped = spots[:-MOST_LABELS]
    taken: list[tuple[float, float, float, float]] = []
    left_out = len(dropped)
    small = np.zeros(ids.shape, bool)
    sizes = {}
    for spot in spots:
        size = _text_size(ax, segments.text(spot.segment), fontsize)
        sizes[spot.segment] = size
        if not _has_room(spot, size):
            small |= spot.mask
    # The small ones first: they have few places to choose from.
    for spot in spots[-MOST_LABELS:]:
        size = sizes[spot.segment]
        centre = _place(spot, size, taken, small=small, roomy=_has_room(spot, size))
        if centre is None:
            left_out += 1
            continue
        box = _box(centre, size)
        taken.append(box)
        if _share(spot.mask, *centre, size[0] / 2, size[1] / 2) < 0.3:
            start = np.clip(spot.anchor, box[:2], box[2:])
            ax.plot(
                *zip(start, spot.anchor, strict=True), color="white", lw=0.9, zorder=3,
                marker="o", ms=2.5, markevery=[1], path_effects=[_OUTLINE],
            )  # fmt: skip
        _write(ax, segments.text(spot.segment), centre, fontsize)
    return left_out


def _spots(ids: np.ndarray) -> list[_Spot]:
    spots = []
    for segment in np.unique(ids[ids >= 0]):
        mask = ids == segment
        # With a border around, so that the image's edge counts as the segment's.
        depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        spots.append(_Spot(int(segment), mask, (float(column), float(row)), float(depth.max())))
    return spots


def _has_room(spot: _Spot, size: tuple[float, float]) -> bool:
    """Whether a label fits on a segment and leaves most of it to be seen."""
    return spot.depth >= 0.6 * size[1] and spot.area >= 3 * size[0] * size[1]


def _place(
    spot: _Spot,
    size: tuple[float, float],
    taken: list[tuple[float, float, float, float]],
    *,
    small: np.ndarray,
    roomy: bool,
) -> tuple[float, float] | None:
    """The best centre for a label among a grid of places; None where all are taken."""
    height, width = spot.mask.shape
    half_w, half_h = size[0] / 2, size[1] / 2
    if width <= size[0] or height <= size[1]:
        return None
    x, y = np.meshgrid(
        np.linspace(half_w, width - 1 - half_w, _STEPS),
        np.linspace(half_h, height - 1 - half_h, _STEPS),
    )
    x = np.append(x, np.clip(spot.anchor[0], half_w, width - 1 - half_w))
    y = np.append(y, np.clip(spot.anchor[1], half_h, height - 1 - half_h))
    free = np.ones(x.shape, bool)
    for left, top, right, bottom in taken:
        free &= (
            (x + half_w < left) | (x - half_w > right) | (y + half_h < top) | (y - half_h > bottom)
        )
    if not free.any():
        return None
    away = np.hypot(x - spot.anchor[0], y - spot.anchor[1]) / max(height, width)
    hidden = _share(small, x, y, half_w, half_h)
    cost = 2 * away + 2 * hidden
    if roomy:
        cost += 2 * (1 - _share(spot.mask, x, y, half_w, half_h))
    best = np.where(free, cost, np.inf).argmin()
    return float(x[best]), float(y[best])


def _share(
    mask: np.ndarray, x: np.ndarray | float, y: np.ndarray | float, half_w: float, half_h: float
) -> np.ndarray:
    """How much of the boxes around (x, y) a mask fills, from its sums over all pixels before."""
    sums = np.pad(mask, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    top = np.clip(np.round(y - half_h), 0, mask.shape[0]).astype(int)
    bottom = np.clip(np.round(y + half_h) + 1, 0, mask.shape[0]).astype(int)
    left = np.clip(np.round(x - half_w), 0, mask.shape[1]).astype(int)
    right = np.clip(np.round(x + half_w) + 1, 0, mask.shape[1]).astype(int)
    inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return inside / np.maximum((bottom - top) * (right - left), 1)


def _box(
    centre: tuple[float, float], size: tuple[float, float]
) -> tuple[float, float, float, float]:
    return (
        centre[0] - size[0] / 2, centre[1] - size[1] / 2,
        centre[0] + size[0] / 2, centre[1] + size[1] / 2,
    )  # fmt: skip


def _text_size(ax: Axes, text: str, fontsize: float) -> tuple[float, float]:
    """Width and height of a label, margins included, in pixels of the image that is shown."""
    written = _write(ax, text, (0, 0), fontsize)
    extent = written.get_window_extent()
    written.remove()
    frame = ax.get_window_extent()
    scale = abs(np.diff(ax.get_xlim())[0]) / frame.width
    beside, above = (2 * margin * ax.figure.dpi / 72 for margin in _MARGIN)
    return (extent.width + beside) * scale, (extent.height + above) * scale


def _write(ax: Axes, text: str, centre: tuple[float, float], fontsize: float) -> Text:
    return ax.text(
        *centre, text, ha="center", va="center", fontsize=fontsize, color="white", zorder=4,
        path_effects=[_OUTLINE],
    )  # fmt: skip
