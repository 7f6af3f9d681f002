"""What was gained or lost, with the intervals that the seeds give."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from eomtlib.ladder import LADDER
from eomtlib.plots.style import (
    GREY,
    PRETRAINING_LINES,
    RUNG_COLORS,
    RUNG_MARKERS,
    SIZE_POINTS,
    finish,
    small_print,
)

_APART = 0.2


def plot_changes(
    changes: pd.DataFrame,
    *,
    axis: str = "rung",
    beside: str | None = None,
    title: str = "",
    note: str = "",
) -> Figure:
    """The PQ that each model gains over another, a row for each, and whether seeds settle it.

    Filled points are settled: their interval leaves zero out. Hollow ones are not.

    Args:
        changes: as ``tables.change_table`` returns it.
        axis: the column that was compared; rungs have colours, and come in the ladder's order.
        beside: a further column, ``pretraining`` or ``size``, whose values share a row.
        title: of the figure.
        note: small print below it.
    """
    present = list(dict.fromkeys(changes[axis]))
    names = [rung for rung in LADDER if rung in present] if axis == "rung" else present
    groups = list(changes[beside].unique()) if beside else [None]
    height = 1.3 + 0.34 * len(names) * max(1.0, 0.6 * len(groups))
    fig, ax = plt.subplots(figsize=(7.2, height))
    ax.axvline(0, color=GREY, lw=0.8, zorder=0)
    for place, group in enumerate(groups):
        shift = (place - (len(groups) - 1) / 2) * _APART
        part = changes if group is None else changes[changes[beside] == group]
        for _, row in part.iterrows():
            _draw_gain(ax, row, names.index(row[axis]) + shift, beside, group)
    ax.set_yticks(range(len(names)), [_title(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    against = set(changes["against"])
    other = _title(against.pop()) if len(against) == 1 else "the rung before"
    ax.set_xlabel(f"PQ against {other}")
    finish(ax, title)
    ax.grid(visible=False, axis="y")
    if beside:
        handles = [_handle(beside, group) for group in groups]
        ax.legend(handles=handles, title=beside, fontsize=8, title_fontsize=8, frameon=False)
    fig.tight_layout()
    small_print(fig, [note])
    return fig


def _title(name: object) -> str:
    return LADDER[name].title if name in LADDER else str(name)


def _draw_gain(ax: plt.Axes, row: pd.Series, y: float, beside: str | None, group: object) -> None:
    rung = row.get("rung")
    color, has_interval = RUNG_COLORS.get(rung, "#000000"), not pd.isna(row["from"])
    if has_interval:
        line = PRETRAINING_LINES[group] if beside == "pretraining" else "-"
        ax.plot([row["from"], row["to"]], [y, y], color=color, lw=1.6, ls=line, zorder=1)
    settled = has_interval and (row["from"] > 0 or row["to"] < 0)
    ax.plot(
        row["PQ"],
        y,
        marker=RUNG_MARKERS.get(rung, "o"),
        color=color,
        mfc=color if settled else "white",
        ms=SIZE_POINTS[group] if beside == "size" else 8,
        ls="",
        zorder=2,
    )


def _handle(beside: str, group: str) -> plt.Line2D:
    if beside == "pretraining":
        return plt.Line2D([], [], color=GREY, ls=PRETRAINING_LINES[group], label=group)
    return plt.Line2D([], [], color=GREY, ls="", marker="o", ms=SIZE_POINTS[group], label=group)


def plot_lines(
    table: pd.DataFrame,
    *,
    x: str,
    order: list[object] | None = None,
    y: str = "pq",
    xlabel: str = "",
    ylabel: str = "PQ (%)",
    title: str = "",
    note: str = "",
) -> Figure:
    """One line for each rung over the steps of some choice, labelled at its end.

    Args:
        table: one row per point, with ``rung``, ``x``, ``y``, and ``y_std`` for error bars.
        x: the column of the choice, drawn at even distances.
        order: its values from left to right; as they come when None.
        y: the column that is drawn.
        xlabel: of the axis; the column's name when empty.
        ylabel: likewise.
        title: of the figure.
        note: small print below it.
    """
    shown = table.dropna(subset=[y])
    order = [v for v in (order or list(shown[x].unique())) if v in set(shown[x])]
    fig, ax = plt.subplots(figsize=(7.2, 4.4))
    ends = []
    for rung in (rung for rung in LADDER if rung in set(shown["rung"])):
        part = shown[shown["rung"] == rung]
        part = part.set_index(x).reindex([v for v in order if v in set(part[x])]).reset_index()
        places = [order.index(value) for value in part[x]]
        spread = part.get(f"{y}_std")
        error = None if spread is None or spread.isna().all() else spread.fillna(0)
        ax.errorbar(
            places,
            part[y],
            yerr=error,
            color=RUNG_COLORS[rung],
            marker=RUNG_MARKERS[rung],
            ms=7,
            mec="white",
            mew=0.6,
            lw=1.4,
            capsize=2.5,
        )
        ends.append((places[-1], float(part[y].iloc[-1]), rung))
    ax.set_xticks(range(len(order)), [str(value) for value in order])
    ax.set_xlim(-0.25, len(order) - 0.75 + 0.1)
    ax.set_xlabel(xlabel or x)
    ax.set_ylabel(ylabel)
    finish(ax, title)
    fig.tight_layout()
    _label_ends(ax, ends)
    small_print(fig, [note])
    return fig


def _label_ends(ax: plt.Axes, ends: list[tuple[float, float, str]]) -> None:
    """Titles to the right of the lines' ends, moved apart where they would overlap."""
    if not ends:
        return
    low, high = ax.get_ylim()
    height = 9.5 / 72 * ax.figure.dpi / ax.get_window_extent().height * (high - low)
    ends = sorted(ends, key=lambda end: end[1])
    heights = np.array([end[1] for end in ends])
    for _ in range(200):
        gaps = np.diff(heights)
        tight = np.flatnonzero(gaps < height - 1e-9)
        if not len(tight):
            break
        for index in tight:
            push = (height - (heights[index + 1] - heights[index])) / 2
            heights[index] -= push
            heights[index + 1] += push
    right = max(end[0] for end in ends)
    for (x, y, rung), label_y in zip(ends, heights, strict=True):
        ax.annotate(
            LADDER[rung].title,
            (x, y),
            xytext=(right + 0.12, label_y),
            textcoords="data",
            va="center",
            fontsize=8.5,
            color=RUNG_COLORS[rung],
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.5, "shrinkA": 0, "shrinkB": 4},
        )
