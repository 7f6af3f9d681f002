"""Labels beside points, clear of everything else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

Box = tuple[float, float, float, float]
"""Left, bottom, right and top, in pixels."""


def place_labels(
    ax: Axes,
    xs: Sequence[float],
    ys: Sequence[float],
    *,
    labels: Sequence[str],
    colors: Sequence[str],
    lines: Sequence[Sequence[int]] = (),
    spreads: Sequence[float] = (),
) -> None:
    """Writes each label beside its point, clear of other labels, points, border and lines.

    Args:
        ax: with its limits set.
        xs: of the points.
        ys: likewise.
        labels: their texts.
        colors: their colours.
        lines: of each line that is drawn, the indices of the points that it joins.
        spreads: how far each point's error bar reaches up and down, NaN for none.
    """
    fig = ax.figure
    fig.canvas.draw()
    renderer = fig.canvas.get_renderer()
    points = ax.transData.transform(np.column_stack([xs, ys]))
    scale = fig.dpi / 72
    taken = [_square(point, 8 * scale) for point in points]
    for line in lines:
        for start, end in itertools.pairwise(points[list(line)]):
            taken += [
                _square(start + t * (end - start), scale) for t in np.linspace(0.05, 0.95, 60)
            ]
    for x, y, spread in zip(xs, ys, spreads, strict=False):
        reach = y + np.nan_to_num(spread) * np.linspace(-1, 1, 20)
        bar = ax.transData.transform(np.column_stack([np.full(20, x), reach]))
        taken += [_square(point, 3 * scale) for point in bar]
    frame = ax.get_window_extent(renderer)
    written: list[Box] = []
    for index in np.argsort(-points[:, 1]):
        place = (list(xs)[index], list(ys)[index])
        others = np.delete(points, index, axis=0)
        markers = [_square(point, 6 * scale) for point in others]
        # A leader across something, and a label beyond the right end of the axes, only where there
        # is no other place.
        choices = itertools.product((False, True), (0, 40 * scale), _OFFSETS)
        for may_cross, margin, offset in choices:
            text = _write(ax, labels[index], place, offset=offset, color=colors[index])
            extent = text.get_window_extent(renderer)
            box = (extent.x0 - 1, extent.y0 - 1, extent.x1 + 1, extent.y1 + 1)
            leader = _leader(box, points[index], others, far=14 * scale)
            if (
                _inside(box, frame, margin)
                and not _any_overlap([box], taken)
                and (may_cross or not _any_overlap(leader, [*written, *markers]))
            ):
                break
            text.remove()
        else:
            # Where everything is taken, over something else.
            _write(ax, labels[index], place, offset=_OFFSETS[0], color=colors[index])
            continue
        taken.append(box)
        written.append(box)
        if leader:
            ends = ax.transData.inverted().transform([leader[0][:2], leader[-1][:2]])
            style = {"color": colors[index], "lw": 0.6, "alpha": 0.7, "zorder": 1}
            ax.plot(*ends.T, scalex=False, scaley=False, **style)


_OFFSETS = [
    (radius * np.cos(angle), radius * np.sin(angle))
    for radius in (9, 13, 18, 26, 36, 48, 62, 78, 96)
    for angle in np.pi / 8 * np.array([0, 8, 4, 12, 2, 6, 14, 10, 1, 7, 15, 9, 3, 5, 13, 11])
]
"""Places that are tried for a label, in points from its own: near ones first, sides first."""


def _write(
    ax: Axes,
    label: str,
    point: tuple[float, float],
    *,
    offset: tuple[float, float],
    color: str,
) -> Annotation:
    dx, dy = offset
    return ax.annotate(
        label,
        point,
        xytext=offset,
        textcoords="offset points",
        ha="left" if dx > 3 else "right" if dx < -3 else "center",
        va="bottom" if dy > 3 else "top" if dy < -3 else "center",
        fontsize=8.5,
        color=color,
    )


def _leader(box: Box, point: np.ndarray, others: np.ndarray, *, far: float) -> list[Box]:
    """Dots of a line from a point to its label, where it is far or nearer to another point."""

    def nearest(to: np.ndarray) -> np.ndarray:
        return np.clip(to, box[:2], box[2:])

    own = np.linalg.norm(nearest(point) - point)
    other = min((np.linalg.norm(nearest(to) - to) for to in others), default=np.inf)
    if own <= far and other >= 1.5 * own:
        return []
    end = nearest(point)
    return [_square(point + t * (end - point), 0) for t in np.linspace(0, 1, 40)]


def _inside(box: Box, frame: Bbox, margin: float) -> bool:
    across = box[0] >= frame.x0 and box[2] <= frame.x1 + margin
    return across and box[1] >= frame.y0 and box[3] <= frame.y1


def _square(centre: np.ndarray, half: float) -> Box:
    return centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half


def _any_overlap(ours: Sequence[Box], theirs: Sequence[Box]) -> bool:
    return any(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for a in ours for b in theirs
    )
