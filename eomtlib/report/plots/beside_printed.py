"""What was measured beside what is printed: two ladders, each against its own first rung."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from eomtlib.core.words import ACCURACIES
from eomtlib.models.ladder import LADDER
from eomtlib.report.frame import accuracy_of
from eomtlib.report.plots.pareto import draw_pareto
from eomtlib.report.plots.style import finish, small_print

_MARGIN = 0.18
_MARGIN_FOR_NAMES = 0.26


def plot_beside_printed(ladders: Mapping[str, tuple[str, pd.DataFrame]]) -> Figure:
    """A panel for each ladder: how much faster a rung is than the first, and what it loses.

    Panels have the same axes, which may be compared where accuracies of other data may not.

    Args:
        ladders: title of a panel → what it was measured under, and one row for each rung, with
            ``fps`` and the accuracy; the first row is what the others stand against.
    """
    figure = accuracy_of(next(iter(ladders.values()))[1])
    drawn = {title: (said, _relative(rows, figure)) for title, (said, rows) in ladders.items()}
    both = pd.concat([rows for _, rows in drawn.values()])
    reach = both[f"{figure}_std"].fillna(0) if f"{figure}_std" in both else 0
    limits = _around(both[figure] - reach, both[figure] + reach)
    fig, axes = plt.subplots(1, len(drawn), figsize=(6.2 * len(drawn), 4.6))
    said_below, writers = [], []
    for ax, (title, (said, rows)) in zip(axes, drawn.items(), strict=True):
        ax.set_xlim(np.exp(_around(*[np.log(both["fps"])] * 2, _MARGIN_FOR_NAMES)))
        ax.set_ylim(limits)
        notes, write_labels = draw_pareto(ax, rows, x="fps", y=figure)
        said_below += notes
        writers.append(write_labels)
        finish(ax, title, subtitle=said, beside=[other for other, _ in drawn.values()])
        first = LADDER[rows["rung"].iloc[0]].title
        ax.set_xlabel(f"times as fast as {first} (log scale)")
        ax.set_ylabel(f"{ACCURACIES[figure]} against it (points)")
    small_print(fig, list(dict.fromkeys(said_below)))
    fig.tight_layout()
    for write_labels in writers:
        write_labels()
    return fig


def _relative(rows: pd.DataFrame, figure: str) -> pd.DataFrame:
    first = rows.iloc[0]
    return rows.assign(**{"fps": rows["fps"] / first["fps"], figure: rows[figure] - first[figure]})


def _around(low: pd.Series, high: pd.Series, share: float = _MARGIN) -> tuple[float, float]:
    """From the least to the largest, with a share of that on both sides."""
    bottom, top = low.min(), high.max()
    margin = share * (top - bottom)
    return bottom - margin, top + margin
