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
    HALO,
    RUNG_COLORS,
    RUNG_MARKERS,
    finish,
    pretraining_lines,
)
from eomtlib.report.uncertainty import ALL_ROWS

_APART = 0.24
_LEAST = 6.0
"""Points from the left of the axis to its right, so that tenths of one are no cliff."""


def plot_changes(
    changes: pd.DataFrame,
    *,
    beside: str | None = None,
    title: str = "",
    note: str = "",
) -> Figure:
    """The accuracy that each model gains over another, a row for each, and whether seeds settle it.

    Thick lines are each row's own interval, thin ones that of all rows at once. Filled points are
    settled: the latter leaves zero out. Hollow ones are not. The figure says so.

    Args:
        changes: as ``tables.change_table`` returns it. Its first column that is not ``beside``
            names the rows; rungs have colours, and come in the ladder's order.
        beside: a further column, ``pretraining`` or ``size``, whose values share a row.
        title: of the figure.
        note: small print below it.
    """
    axis = next(column for column in changes if column != beside)
    present = list(dict.fromkeys(changes[axis]))
    names = [rung for rung in LADDER if rung in present] if axis == "rung" else present
    groups = list(changes[beside].unique()) if beside else [None]
    lines = pretraining_lines(groups) if beside == "pretraining" else dict.fromkeys(groups, "-")
    height = 1.3 + 0.34 * len(names) * max(1.0, 0.6 * len(groups))
    fig, ax = plt.subplots(figsize=(7.2, height))
    ax.axvline(0, color=GREY, lw=0.8, zorder=0)
    for place, group in enumerate(groups):
        shift = (place - (len(groups) - 1) / 2) * _APART
        part = changes if group is None else changes[changes[beside] == group]
        for _, row in part.iterrows():
            named = "" if group is None else str(group)
            _draw_gain(ax, row, names.index(row[axis]) + shift, line=lines[group], named=named)
    ax.set_yticks(range(len(names)), [_title(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    against = set(changes["against"])
    other = _title(against.pop()) if len(against) == 1 else "the rung before"
    ax.set_xlabel(f"points of {_heading(changes)} against {other}")
    low, high = ax.get_xlim()
    if high - low < _LEAST:
        ax.set_xlim((low + high - _LEAST) / 2, (low + high + _LEAST) / 2)
    counts = changes.get("seeds", pd.Series([0]))
    seeds = " to ".join(dict.fromkeys(f"{n:.0f}" for n in (counts.min(), counts.max())))
    key = (
        "One seed: no intervals, nothing is settled (hollow)."
        if changes["from"].isna().all()
        else "Lines: 95 % over seeds, thick for each row by itself, thin for all rows at once. "
        "Filled: settled; hollow: not."
    )
    finish(ax, title, [key, note], subtitle=f"{seeds} seeds" if counts.max() > 1 else "")
    ax.grid(visible=False, axis="y")
    fig.tight_layout()
    return fig


def _heading(changes: pd.DataFrame | pd.Series) -> str:
    """The column, or the entry of a row, that holds what was gained."""
    return next(heading for heading in ACCURACIES.values() if heading in changes)


def _title(name: object) -> str:
    return LADDER[name].title if name in LADDER else for_matplotlib(str(name))


def _draw_gain(ax: plt.Axes, row: pd.Series, y: float, *, line: object, named: str) -> None:
    rung = row.get("rung")
    color, has_interval = RUNG_COLORS.get(rung, "#000000"), not pd.isna(row["from"])
    if has_interval:
        ax.plot([row["from"], row["to"]], [y, y], color=color, lw=2, ls=line, zorder=1)
        ax.plot(row[list(ALL_ROWS)], [y, y], color=color, lw=0.6, zorder=1)
    settled = not row["what the seeds say"].startswith(("not settled", "one seed"))
    style = {"marker": RUNG_MARKERS.get(rung, "o"), "mfc": color if settled else "white"}
    ax.plot(row[_heading(row)], y, color=color, ms=9, mew=1.3, ls="", zorder=2, **style)
    ends = row[[_heading(row), "to", ALL_ROWS[1]]].astype(float)
    ax.annotate(
        for_matplotlib(named), (ends.max(), y), xytext=(8, 0), textcoords="offset points",
        va="center", fontsize=8, color=color, path_effects=HALO,
    )  # fmt: skip
