"""A figure over the steps of some choice, a line for each rung."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from eomtlib.core.escaping import for_matplotlib
from eomtlib.core.words import ACCURACIES
from eomtlib.models.ladder import LADDER
from eomtlib.report.frame import accuracy_of
from eomtlib.report.plots.style import GREY, RUNG_COLORS, RUNG_MARKERS, finish, widen


def plot_lines(
    table: pd.DataFrame,
    *,
    x: str,
    order: list[object] | None = None,
    y: str = "",
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    subtitle: str = "",
    note: str = "",
) -> Figure:
    """One line for each rung over the steps of some choice, labelled at its end.

    Args:
        table: one row per point, with ``rung``, ``x``, ``y``, and ``y_std`` for error bars.
        x: the column of the choice; numbers have their places, anything else even distances.
        order: its values from left to right; as they come when None.
        y: the column that is drawn; the task's accuracy when empty.
        xlabel: of the axis; the column's name when empty.
        ylabel: likewise; an accuracy has its own.
        title: of the figure.
        subtitle: what it was measured under.
        note: small print below it.
    """
    y = y or accuracy_of(table)
    ylabel = ylabel or (f"{ACCURACIES[y]} (%)" if y in ACCURACIES else y)
    shown = table.dropna(subset=[y])
    order = [v for v in (order or list(shown[x].unique())) if v in set(shown[x])]
    fig, ax = plt.subplots(figsize=(7.2, 4.4))
    numeric = all(isinstance(value, int | float | np.number) for value in order)
    at = dict(zip(order, order if numeric else range(len(order)), strict=True))
    is_accuracy, several = y in ACCURACIES, False
    ends = []
    for rung in (rung for rung in LADDER if rung in set(shown["rung"])):
        part = shown[shown["rung"] == rung].set_index(x)
        part = part.reindex([value for value in order if value in part.index])
        places = [at[value] for value in part.index]
        spread = part.get(f"{y}_std")
        error = None if spread is None or spread.isna().all() else spread.fillna(0)
        several |= error is not None
        style = {"color": RUNG_COLORS[rung], "marker": RUNG_MARKERS[rung], "ms": 7, "lw": 1.4}
        hollow = is_accuracy and error is None
        style |= {"mfc": "white", "mew": 1.4} if hollow else {"mec": "white", "mew": 0.6}
        ax.errorbar(places, part[y], yerr=error, capsize=2.5, **style)
        ends.append((places[-1], float(part[y].iloc[-1]), rung))
    ax.set_xticks(list(at.values()), [for_matplotlib(str(value)) for value in order])
    if at:
        span = max(at.values()) - min(at.values()) or 1
        ax.set_xlim(min(at.values()) - 0.1 * span, max(at.values()) + 0.04 * span)
    if is_accuracy:
        widen(ax)
    else:
        ax.set_ylim(0, 1.1 * shown[y].max())
    ax.set_xlabel(xlabel or x)
    ax.set_ylabel(ylabel)
    key = "Bars: standard deviation over seeds." if several else "Hollow: one seed, no interval."
    finish(ax, title, [key if is_accuracy else "", note], subtitle=subtitle)
    fig.tight_layout()
    _label_ends(ax, ends)
    return fig


def _label_ends(ax: plt.Axes, ends: list[tuple[float, float, str]]) -> None:
    """Titles to the right of the lines' ends, moved apart where they would overlap."""
    if not ends:
        return
    low, high = ax.get_ylim()
    height = 9.5 / 72 * ax.figure.dpi / ax.get_window_extent().height * (high - low)
    ends = sorted(ends, key=lambda end: end[1])
    # The heights nearest to the ends' that lie at least one line apart.
    lines = height * np.arange(len(ends))
    heights = isotonic_regression([end[1] for end in ends] - lines).x + lines
    leader = {"arrowstyle": "-", "color": GREY, "lw": 0.5, "shrinkA": 0, "shrinkB": 4}
    for (x, y, rung), label_y in zip(ends, heights, strict=True):
        ax.annotate(
            LADDER[rung].title, (x, y), xytext=(1.01, label_y),
            textcoords=("axes fraction", "data"),
            va="center", fontsize=8.5, color=RUNG_COLORS[rung], annotation_clip=False,
            arrowprops=leader,
        )  # fmt: skip
