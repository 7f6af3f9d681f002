"""Labels beside points, clear of everything else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text

from eomtlib.plots.style import GREY


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
    taken = [_square(point, 6 * scale) for point in points]
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
    order = np.argsort([-py for _, py in points])
    radii = (9, 16, 26, 38, 52, 70)
    directions = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
    for index in order:
        best = None
        for radius in radii:
            for dx, dy in directions:
                text = ax.annotate(
                    labels[index],
                    (list(xs)[index], list(ys)[index]),
                    xytext=(dx * radius, dy * radius),
                    textcoords="offset points",
                    ha="left" if dx > 0 else "right" if dx < 0 else "center",
                    va="bottom" if dy > 0 else "top" if dy < 0 else "center",
                    fontsize=8.5,
                    color=colors[index],
                    arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.5}
                    if radius > 16
                    else None,
                )
                # Of the text alone: an annotation's own extent holds its arrow as well.
                text.update_positions(renderer)
                box = Text.get_window_extent(text, renderer)
                rectangle = (box.x0 - 1, box.y0 - 1, box.x1 + 1, box.y1 + 1)
                inside = box.x0 >= frame.x0 and box.x1 <= frame.x1 + 40 * scale
                inside = inside and box.y0 >= frame.y0 and box.y1 <= frame.y1
                if inside and not any(_overlap(rectangle, other) for other in taken):
                    best = rectangle
                    break
                text.remove()
            if best:
                break
        if best:
            taken.append(best)
        else:
            ax.annotate(
                labels[index], (list(xs)[index], list(ys)[index]), fontsize=8.5, xytext=(9, 0),
                textcoords="offset points", color=colors[index],
            )  # fmt: skip


def _square(centre: np.ndarray, half: float) -> tuple[float, float, float, float]:
    return centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
