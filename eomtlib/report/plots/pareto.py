"""Accuracy against speed."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eomtlib.core.words import ACCURACIES, PRETRAININGS, SIZES
from eomtlib.models.ladder import LADDER
from eomtlib.report.frame import accuracy_of
from eomtlib.report.plots.point_labels import place_labels
from eomtlib.report.plots.style import (
    GREY,
    RUNG_COLORS,
    RUNG_MARKERS,
    SIZE_POINTS,
    finish,
    small_print,
)

_STEPS = {"size": SIZES, "pretraining": PRETRAININGS}


def plot_pareto(
    table: pd.DataFrame,
    *,
    along: str | None = None,
    x: str = "fps",
    y: str = "",
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Accuracy against speed, every point labelled.

    Without ``along`` the front is drawn through the best rungs; with it each rung is a curve.

    Args:
        table: one row per point, with the columns ``rung``, ``x`` and ``y``, and ``along`` if
            given; the spread of ``y`` over seeds as error bars where there is a column ``y_std``.
            Rows without ``x`` or ``y`` are left out, and said so in the figure.
        along: ``size`` or ``pretraining``, what changes along a rung's curve.
        x: column of the speed.
        y: column of the accuracy; found by itself when empty.
        title: of the figure.
        note: small print below it, such as what the accuracies are worth.
        ax: drawn on instead of a new figure.
    """
    y = y or accuracy_of(table)
    fig, ax = (ax.figure, ax) if ax is not None else plt.subplots(figsize=(7.2, 4.6))
    shown = _in_order(table.dropna(subset=[x, y]), along)
    front = _pareto_front(shown[x].to_numpy(float), shown[y].to_numpy(float))
    if along is None:
        ax.plot(shown[x].iloc[front], shown[y].iloc[front], color=GREY, lw=1.2, ls="--", zorder=1)
    for rung, group in shown.groupby("rung", sort=False):
        if along is not None:
            ax.plot(group[x], group[y], color=RUNG_COLORS[rung], lw=1.3, alpha=0.8, zorder=1)
        for _, row in group.iterrows():
            _draw_point(ax, row, x, y)
    ax.set_xscale("log")
    ax.margins(0.16)
    ax.set_xlabel("images per second (FPS), model alone, batch 1")
    ax.set_ylabel(f"{ACCURACIES.get(y, y)} (%)")
    ax.xaxis.set_major_formatter(plt.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(plt.NullFormatter())
    if len(shown):
        ax.set_xticks(_log_ticks(shown[x].min(), shown[x].max()))
    finish(ax, title)
    fig.tight_layout()
    # Labels are placed last: their distances to points depend on the final layout.
    place_labels(
        ax,
        shown[x],
        shown[y],
        labels=_labels(shown, along),
        colors=[RUNG_COLORS[rung] for rung in shown["rung"]],
        lines=_lines(shown, along, front),
        spreads=shown.get(f"{y}_std", ()),
    )
    left_out = list(dict.fromkeys(r for r in table["rung"] if r not in set(shown["rung"])))
    small_print(fig, [note, f"No value for {', '.join(left_out)}." if left_out else ""])
    return fig


def _in_order(shown: pd.DataFrame, along: str | None) -> pd.DataFrame:
    rungs, steps = list(LADDER), _STEPS.get(along or "", ())
    keys = [
        (rungs.index(rung), steps.index(value) if along else 0)
        for rung, value in zip(shown["rung"], shown[along or "rung"], strict=True)
    ]
    order = sorted(range(len(shown)), key=keys.__getitem__)
    return shown.iloc[order]


def _draw_point(ax: Axes, row: pd.Series, x: str, y: str) -> None:
    color = RUNG_COLORS[row["rung"]]
    spread = row.get(f"{y}_std")
    if spread is not None and not pd.isna(spread):
        ax.errorbar(row[x], row[y], yerr=spread, color=color, lw=1.2, capsize=2.5, zorder=2)
    ax.plot(
        row[x],
        row[y],
        marker=RUNG_MARKERS[row["rung"]],
        color=color,
        ms=SIZE_POINTS.get(row.get("size"), 9),
        mec="white",
        mew=0.8,
        ls="",
        zorder=3,
    )


def _labels(shown: pd.DataFrame, along: str | None) -> list[str]:
    """The rung's title, or what changes along its curve, with the title at its end."""
    if along is None:
        return [LADDER[rung].title for rung in shown["rung"]]
    last = ~shown["rung"].duplicated(keep="last")
    return [
        f"{LADDER[rung].title}, {value}" if is_last else str(value)
        for rung, value, is_last in zip(shown["rung"], shown[along], last, strict=True)
    ]


def _lines(shown: pd.DataFrame, along: str | None, front: list[int]) -> list[list[int]]:
    """Of each line drawn, the positions of the points that it joins."""
    if along is None:
        return [front]
    positions = np.arange(len(shown))
    return [list(positions[shown["rung"] == rung]) for rung in shown["rung"].unique()]


def _pareto_front(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Indices of the points that no other beats in both, from slow to fast."""
    front = [
        i
        for i in range(len(x))
        if not any(
            x[j] >= x[i] and y[j] >= y[i] and (x[j] > x[i] or y[j] > y[i]) for j in range(len(x))
        )
    ]
    return sorted(front, key=lambda i: x[i])


def _log_ticks(low: float, high: float) -> list[float]:
    steps = [m * 10.0**e for e in range(-4, 5) for m in (1, 1.5, 2, 3, 5, 7)]
    inside = [s for s in steps if low * 0.8 <= s <= high * 1.25]
    return inside or [low, high]
