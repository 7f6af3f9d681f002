"""Which class is taken for which, as a matrix."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from eomtlib.core.escaping import for_matplotlib
from eomtlib.evaluation.metrics.confusion import NOTHING
from eomtlib.report.plots.style import small_print

MOST_CLASSES = 24
"""That a matrix shows; of more, those with the largest confusions."""
_LONGEST_NAME = 22


def plot_confusion(counts: np.ndarray, names: Sequence[str], *, note: str = "") -> Figure:
    """A row for each true class: where its pixels went, in percent of the row.

    Args:
        counts: ``[classes + 1, classes + 1]`` pixels, as ``evaluation.metrics.confusion`` has them.
        names: of the classes.
        note: small print below.
    """
    every = [*names, NOTHING]
    totals = counts.sum(1)
    shares = 100 * counts / np.maximum(totals, 1)[:, None]
    shown = _most_confused(counts, shares)
    last = len(names)
    # Nothing is a row of instances alone, and a column where something was left uncovered.
    rows = [i for i in shown if totals[i]]
    uncovered = [last] if (shares[rows, last] >= 0.5).any() else []
    columns = [*(i for i in shown if i != last), *uncovered]
    cells = shares[np.ix_(rows, columns)]
    fig, ax = plt.subplots(figsize=(0.42 * len(columns) + 3.2, 0.36 * len(rows) + 2.2))
    is_right, is_seen = np.equal.outer(rows, columns), cells >= 0.5
    for mask, colors in ((is_right, "Blues"), (~is_right, "Oranges")):
        seen = np.where(mask & is_seen, cells, np.nan)
        ax.imshow(seen, cmap=colors, vmin=0, vmax=115, aspect="auto")
    for row, column in np.argwhere(is_right):
        corner = (column - 0.5, row - 0.5)
        ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="tab:blue", zorder=3))
    for row, column in np.argwhere(is_seen):
        value = cells[row, column]
        color = "white" if value > 65 else "0.15"
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8, color=color)
    labels = [for_matplotlib(_short(name)) for name in every]
    named = [f"{labels[i]}  {_compact(totals[i])}" for i in rows]
    ax.set_xticks(range(len(columns)), [labels[i] for i in columns], rotation=90, fontsize=8)
    ax.set_yticks(range(len(rows)), named, fontsize=8)
    ax.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="0.9", linewidth=0.5)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class, and its pixels")
    ax.set_title("Where the pixels of each class go, %", loc="left", fontsize=11)
    fig.tight_layout()
    said = "Blue frames: right; orange: taken for another class; empty: below 0.5 %."
    if len(shown) < np.count_nonzero(_occurs(counts)):
        said = f"The {len(shown)} classes with the largest confusions of {len(names)}. {said}"
        said += " Rows do not add up to 100."
    small_print(fig, [said, note])
    return fig


def _most_confused(counts: np.ndarray, shares: np.ndarray) -> list[int]:
    """The classes that occur; of many, those in the largest confusions, by share of a class."""
    occurs = np.flatnonzero(_occurs(counts)).tolist()
    if len(occurs) <= MOST_CLASSES:
        return occurs
    wrong = shares.copy()
    np.fill_diagonal(wrong, 0)
    chosen: dict[int, None] = {}
    for pair in np.argsort(wrong, axis=None)[::-1]:
        more = dict.fromkeys(int(i) for i in np.unravel_index(pair, wrong.shape))
        if len(chosen | more) > MOST_CLASSES:
            break
        chosen |= more
    return sorted(chosen)


def _occurs(counts: np.ndarray) -> np.ndarray:
    return counts.sum(0) + counts.sum(1) > 0


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _compact(pixels: int) -> str:
    """1,234,567 → 1.2M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if pixels >= size:
            return f"{pixels / size:.{0 if pixels >= 10 * size else 1}f}{unit}"
    return str(pixels)
