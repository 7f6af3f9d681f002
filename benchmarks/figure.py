"""The curves as small multiples: seconds above, MiB below, ours and the peer's."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from benchmarks.compare import Comparison

# Okabe and Ito's vermilion and blue; told apart by marker and dashes as well.
_SERIES = (
    ("ours", {"color": "#D55E00", "marker": "o", "ls": "-"}),
    ("transformers", {"color": "#0072B2", "marker": "s", "ls": "--"}),
)

_IN_A_ROW = 3


def plot_curves(points: Sequence[Comparison]) -> Figure:
    """Two panels for each curve, three curves in a row; seconds are medians, both axes logarithmic.

    Args:
        points: with ``at``; those of one part and quantity are one curve.
    """
    curves: dict[tuple[str, str], list[Comparison]] = {}
    for point in points:
        curves.setdefault((point.part, point.at[0]), []).append(point)
    rows, columns = -(-len(curves) // _IN_A_ROW), min(len(curves), _IN_A_ROW)
    fig, axes = plt.subplots(
        2 * rows,
        columns,
        figsize=(0.6 + 3.1 * columns, 0.6 + 4.4 * rows),
        squeeze=False,
        layout="constrained",
    )
    pairs = [pair for row in range(rows) for pair in axes[2 * row : 2 * row + 2].T]
    for pair in pairs[len(curves) :]:
        for empty in pair:
            empty.set_visible(False)
    for (above, below), ((part, quantity), curve) in zip(pairs, curves.items(), strict=False):
        above.sharex(below)
        values = [point.at[1] for point in curve]
        _draw(above, values, [point.medians for point in curve])
        _tick_seconds(above)
        weighed = [point for point in curve if point.peak_mib is not None]
        _draw(below, [point.at[1] for point in weighed], [point.peak_mib for point in weighed])
        below.set_ylim(0, 1.08 * below.dataLim.ymax)
        above.set_title(
            fill(f"{part}, {curve[0].unit}, by {quantity.partition(',')[0]}", 34), fontsize=9
        )
        above.tick_params(labelbottom=False)
        below.set_xlabel(quantity.replace(", ", "; ", 1), fontsize=9)
        below.set_xticks(values, [str(value) for value in values])
        below.xaxis.set_minor_locator(NullLocator())
    for row in range(rows):
        axes[2 * row, 0].set_ylabel("median seconds (logarithmic)", fontsize=9)
        axes[2 * row + 1, 0].set_ylabel("peak memory (MiB)", fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return fig


def _draw(ax: Axes, values: Sequence[int], pairs: Sequence[tuple[float, float]]) -> None:
    ax.set_xscale("log")
    for (name, look), figures in zip(_SERIES, zip(*pairs, strict=True), strict=False):
        ax.plot(values, figures, label=name, ms=5, lw=1.5, **look)
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


def _tick_seconds(ax: Axes) -> None:
    ax.set_yscale("log")
    ax.margins(y=0.15)
    low, high = ax.get_ylim()
    # Less than a decade gets more ticks, for else there may be none.
    steps = (1.0, 2.0, 5.0) if high / low > 4 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    ax.yaxis.set_major_locator(LogLocator(subs=steps))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
