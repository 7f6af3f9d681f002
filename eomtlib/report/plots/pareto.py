"""Accuracy against speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import textalloc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from eomtlib.core.words import ACCURACIES, PRETRAININGS, RUNGS, SIZES
from eomtlib.models.ladder import LADDER
from eomtlib.report.frame import accuracy_of
from eomtlib.report.plots.style import (
    GREY,
    HALO,
    HOLLOW,
    RUNG_COLORS,
    RUNG_MARKERS,
    SIZE_POINTS,
    finish,
    widen,
)

_POINTS = 9
"""Width of a marker where nothing tells the size of the encoder, in printer's points."""
_ORDERS = {"rung": RUNGS, "size": SIZES, "pretraining": PRETRAININGS}


def plot_pareto(
    table: pd.DataFrame,
    *,
    along: str | None = None,
    label: str = "",
    x: str = "fps",
    y: str = "",
    title: str = "",
    subtitle: str = "",
    note: str = "",
) -> Figure:
    """Accuracy against speed, every point labelled.

    Without ``along`` the front is drawn through the best rungs; with it each rung is a curve.

    Args:
        table: one row per point, with the columns ``rung``, ``x`` and ``y``, and ``along`` if
            given; the spread of ``y`` over seeds as error bars where there is a column ``y_std``.
            Rows without ``x`` or ``y`` are left out, and said so in the figure. Where a column
            ``unfinished`` is not empty the marker is hollow, and no front goes through it.
        along: what changes along a rung's curve, such as ``size`` or ``pretraining``.
        label: column of what is written beside each point, where that is not the rung's title.
        x: column of the speed.
        y: column of the accuracy; found by itself when empty.
        title: of the figure.
        subtitle: what it was measured under.
        note: small print below it, such as what the accuracies are worth.
    """
    fig, ax = plt.subplots(figsize=(7.2, 4.6))
    y = y or accuracy_of(table)
    notes, write_labels = draw_pareto(ax, table, along=along, label=label, x=x, y=y, note=note)
    finish(ax, title, notes, subtitle=subtitle)
    fig.tight_layout()
    write_labels()
    return fig


def draw_pareto(
    ax: Axes,
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    along: str | None = None,
    label: str = "",
    note: str = "",
) -> tuple[list[str], Callable[[], None]]:
    """All of ``plot_pareto`` on an axis of a figure, but for title, small print and labels.

    Returns:
        The small print; and what writes the labels, to be called last: their distances to points
        depend on the final layout.
    """
    shown = table.dropna(subset=[x, y]).sort_values(
        ["rung", along] if along else ["rung"],
        key=lambda column: column.map(_in_order(column).index),
        kind="stable",
    )
    if along is None:
        lines = [pareto_front(shown, x, y)]
        ax.plot(lines[0][x], lines[0][y], color=GREY, lw=1.2, ls="--", zorder=1)
    else:
        lines = [group for _, group in shown.groupby("rung", sort=False)]
        for line in lines:
            color = RUNG_COLORS[line["rung"].iloc[0]]
            ax.plot(line[x], line[y], color=color, lw=1.3, alpha=0.8, zorder=1)
    bars = shown.dropna(subset=[f"{y}_std"]) if f"{y}_std" in shown else shown[:0]
    for _, row in bars.iterrows():
        color = RUNG_COLORS[row["rung"]]
        ax.errorbar(row[x], row[y], row[f"{y}_std"], color=color, lw=1.2, capsize=2.5, zorder=2)
    widths = [SIZE_POINTS.get(row.get("size"), _POINTS) for _, row in shown.iterrows()]
    for (_, row), width in zip(shown.iterrows(), widths, strict=True):
        rung = row["rung"]
        style = {"marker": RUNG_MARKERS[rung], "color": RUNG_COLORS[rung], "ms": width}
        style |= HOLLOW if row.get("unfinished") else {"mec": "white", "mew": 0.8}
        ax.plot(row[x], row[y], ls="", zorder=3, **style)
    ax.set_xscale("log")
    ax.margins(x=0.16 if along is None else 0.24, y=0.16)
    if len(shown):
        widen(ax)
        if shown[y].min() >= 0:  # room for a marker, and none for accuracies below zero
            ax.set_ylim(bottom=max(ax.get_ylim()[0], -0.5))
    ax.set_xlabel("images per second (FPS), model alone, batch 1, logarithmic")
    ax.set_ylabel(f"{ACCURACIES.get(y, y)} (%)")
    ax.xaxis.set_major_formatter(plt.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(plt.NullFormatter())
    low, high = ax.get_xlim()
    close = (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)
    subs = close if high < 3 * low else (1, 1.5, 2, 3, 5, 7)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    left_out = list(dict.fromkeys(r for r in table["rung"] if r not in set(shown["rung"])))
    keys = {
        "Dashed: no other is both faster and more accurate.": along is None and len(lines[0]),
        "A line joins what one rung reaches.": along is not None,
        "Hollow: its training has not ended.": len(shown) > len(_finished(shown)),
        "Bars: standard deviation over seeds.": len(bars),
    }
    missing = f"No value for {', '.join(LADDER[name].title for name in left_out)}."
    notes = [text for text, holds in keys.items() if holds and len(shown)]
    notes += [note, missing if left_out else ""]
    covered = [(line[x].to_numpy(float), line[y].to_numpy(float)) for line in lines]
    for _, row in bars.iterrows():
        reach = row[f"{y}_std"] * np.array([-1, 1])
        covered.append((np.full(2, row[x], float), row[y] + reach))
    points = shown[x].to_numpy(float), shown[y].to_numpy(float)
    colors = [RUNG_COLORS[rung] for rung in shown["rung"]]
    texts = list(shown[label]) if label else _labels(shown, along)
    return notes, partial(_write_labels, ax, points, widths, texts, colors, covered)


def _in_order(column: pd.Series) -> list[str]:
    """All values of a column in their order; what is in no order comes last, as it stands."""
    return list(dict.fromkeys((*_ORDERS.get(column.name, ()), *column)))


def _labels(shown: pd.DataFrame, along: str | None) -> list[str]:
    """The rung's title, or what changes along its curve, with the title at its end."""
    if along is None:
        return [LADDER[rung].title for rung in shown["rung"]]
    last = ~shown["rung"].duplicated(keep="last")
    return [
        f"{LADDER[rung].title}, {value}" if is_last else str(value)
        for rung, value, is_last in zip(shown["rung"], shown[along], last, strict=True)
    ]


def _write_labels(
    ax: Axes,
    points: tuple[np.ndarray, np.ndarray],
    widths: list[float],
    labels: list[str],
    colors: list[str],
    lines: Sequence[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Writes each label beside its point, clear of other labels, of points and of lines."""
    if not labels:
        return
    ax.autoscale(False)
    lines = [line for line in lines if len(line[0]) > 1]
    radii = np.array(widths) / 2 * ax.figure.dpi / 72  # pixels
    textalloc.allocate(
        ax, *points, labels, x_scatter=points[0], y_scatter=points[1], scatter_sizes=radii,
        x_lines=[line[0] for line in lines], y_lines=[line[1] for line in lines],
        textsize=8.5, textcolor=colors, linecolor=colors, linewidth=0.6,
        margin=0.01, min_distance=0.02, max_distance=0.25, nbr_candidates=400,
        priority_strategy="largest",
        path_effects=HALO,
    )  # fmt: skip


def _finished(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["unfinished"] == ""] if "unfinished" in table else table


def pareto_front(table: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """The rows whose training has ended and that no other such beats in both, slow to fast."""
    table = _finished(table)
    places = _front(table[x].to_numpy(float), table[y].to_numpy(float))
    return table.iloc[places]


def _front(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    beaten = [((x >= a) & (y >= b) & ((x > a) | (y > b))).any() for a, b in zip(x, y, strict=True)]
    front = np.flatnonzero(~np.array(beaten, bool))
    return front[np.argsort(x[front], kind="stable")]
