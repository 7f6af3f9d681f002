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


def plot_curves(points: Sequence[Comparison]) -> Figure:
    """One column for each curve; seconds are medians and on a logarithmic axis.

    Args:
        points: with ``at``; those of one part and quantity are one curve.
    """
    curves: dict[tuple[str, str], list[Comparison]] = {}
    for point in points:
        curves.setdefault((point.part, point.at[0]), []).append(point)
    fig, axes = plt.subplots(
        2, len(curves), figsize=(0.6 + 2.7 * len(curves), 5.6), squeeze=False, sharex="col"
    )
    for (above, below), ((part, quantity), curve) in zip(axes.T, curves.items(), strict=True):
        values = [point.at[1] for point in curve]
        _draw(above, values, [point.medians for point in curve])
        _tick_seconds(above)
        weighed = [point for point in curve if point.peak_mib is not None]
        _draw(below, [point.at[1] for point in weighed], [point.peak_mib for point in weighed])
        below.set_ylim(bottom=0)
        above.set_title(f"{fill(part, 26)}\n{curve[0].unit}", fontsize=9)
        below.set_xlabel(quantity.replace(", ", "\n", 1), fontsize=9)
        below.set_xticks(values, [str(value) for value in values])
        below.xaxis.set_minor_locator(NullLocator())
    axes[0, 0].set_ylabel("seconds (median)")
    axes[1, 0].set_ylabel("peak memory (MiB)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="upper center", ncols=2, frameon=False)
    fig.tight_layout(rect=(0, 0, 1, 0.94))
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
