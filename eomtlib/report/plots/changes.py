"""What was gained or lost, with the intervals that the seeds give."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from eomtlib.core.escaping import for_matplotlib
from eomtlib.core.words import ACCURACIES
from eomtlib.models.ladder import LADDER
from eomtlib.report.plots.style import (
    GREY,
    RUNG_COLORS,
    RUNG_MARKERS,
    SIZE_POINTS,
    finish,
    pretraining_lines,
)
from eomtlib.report.uncertainty import ALL_ROWS

_APART = 0.2


def plot_changes(
    changes: pd.DataFrame,
    *,
    axis: str = "rung",
    beside: str | None = None,
    title: str = "",
    note: str = "",
) -> Figure:
    """The accuracy that each model gains over another, a row for each, and whether seeds settle it.

    Thick lines are each row's own interval, thin ones that of all rows at once. Filled points are
    settled: the latter leaves zero out. Hollow ones are not.

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
    lines = pretraining_lines(groups) if beside == "pretraining" else dict.fromkeys(groups, "-")
    points = SIZE_POINTS if beside == "size" else dict.fromkeys(groups, 8)
    height = 1.3 + 0.34 * len(names) * max(1.0, 0.6 * len(groups))
    fig, ax = plt.subplots(figsize=(7.2, height))
    ax.axvline(0, color=GREY, lw=0.8, zorder=0)
    for place, group in enumerate(groups):
        shift = (place - (len(groups) - 1) / 2) * _APART
        part = changes if group is None else changes[changes[beside] == group]
        for _, row in part.iterrows():
            style = {"line": lines[group], "points": points[group]}
            _draw_gain(ax, row, names.index(row[axis]) + shift, **style)
    ax.set_yticks(range(len(names)), [_title(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    against = set(changes["against"])
    other = _title(against.pop()) if len(against) == 1 else "the rung before"
    ax.set_xlabel(f"{_heading(changes)} against {other}")
    finish(ax, title, [note])
    ax.grid(visible=False, axis="y")
    if beside:
        handles = [_handle(beside, group, lines[group]) for group in groups]
        ax.legend(handles=handles, title=beside, fontsize=8, title_fontsize=8, frameon=False)
    fig.tight_layout()
    return fig


def _heading(changes: pd.DataFrame | pd.Series) -> str:
    """The column, or the entry of a row, that holds what was gained."""
    return next(heading for heading in ACCURACIES.values() if heading in changes)


def _title(name: object) -> str:
    return LADDER[name].title if name in LADDER else for_matplotlib(str(name))


def _draw_gain(ax: plt.Axes, row: pd.Series, y: float, *, line: object, points: float) -> None:
    rung = row.get("rung")
    color, has_interval = RUNG_COLORS.get(rung, "#000000"), not pd.isna(row["from"])
    if has_interval:
        ax.plot([row["from"], row["to"]], [y, y], color=color, lw=2, ls=line, zorder=1)
        ax.plot(row[list(ALL_ROWS)], [y, y], color=color, lw=0.6, zorder=1)
    settled = not row["what the seeds say"].startswith(("not settled", "one seed"))
    style = {"marker": RUNG_MARKERS.get(rung, "o"), "mfc": color if settled else "white"}
    ax.plot(row[_heading(row)], y, color=color, ms=points, ls="", zorder=2, **style)


def _handle(beside: str, group: str, line: object) -> plt.Line2D:
    if beside == "pretraining":
        return plt.Line2D([], [], color=GREY, ls=line, label=group)
    return plt.Line2D([], [], color=GREY, ls="", marker="o", ms=SIZE_POINTS[group], label=group)
