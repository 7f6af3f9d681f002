"""Accuracies over the values of what somebody varied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eomtlib.core.escaping import for_matplotlib
from eomtlib.core.words import ACCURACIES
from eomtlib.report.frame import accuracy_of
from eomtlib.report.plots.curves import LOSS, running_loss
from eomtlib.report.plots.style import GREY, RUNG_COLORS, finish, widen

_COLORS = list(RUNG_COLORS.values())


def plot_factors(
    frame: pd.DataFrame,
    factors: Sequence[str],
    *,
    title: str = "",
    subtitle: str = "",
    note: str = "",
) -> Figure:
    """The accuracy of every run: lines over one factor, a grid over two, one row each over more.

    Lines go through the means over seeds; each dot is a run. Cells of a grid say the mean and, over
    several seeds, the standard deviation.

    Args:
        frame: as ``frame.to_frame`` returns it, with a column for each factor.
        factors: what was varied; at least one.
        title: of the figure.
        subtitle: what it was measured under.
        note: small print below it.
    """
    figure = accuracy_of(frame)
    shown = frame.dropna(subset=[figure])
    draw = {1: _lines, 2: _cells}.get(len(factors), _rows)
    combinations = len(shown[list(factors)].drop_duplicates())
    size = (7.2, max(3.0, 1.2 + 0.35 * combinations)) if draw is _rows else (7.2, 4.2)
    fig, ax = plt.subplots(figsize=size)
    draw(ax, shown, list(factors), figure)
    finish(ax, title, [note], subtitle=subtitle)
    if draw is _cells:
        ax.grid(False)
    fig.tight_layout()
    return fig


def plot_validation(curves: Mapping[str, pd.DataFrame], *, metric: str, title: str = "") -> Figure:
    """Loss per predicted layer over training, and beside it the validated figure, if there is one.

    Args:
        curves: name of a run → its logged values.
        metric: ``pq``, ``ap`` or ``miou``.
        title: of the figure.
    """
    validated = any(f"val_{metric}" in frame for frame in curves.values())
    fig, axes = plt.subplots(
        1, 1 + validated, figsize=(10.5 if validated else 7.2, 4.2), squeeze=False
    )
    colors = plt.cm.viridis(np.linspace(0, 0.9, max(1, len(curves))))
    for color, (name, frame) in zip(colors, curves.items(), strict=True):
        label = for_matplotlib(name)
        axes[0, 0].plot(*running_loss(frame), color=color, lw=1.4, label=label)
        if f"val_{metric}" in frame:
            points = frame.dropna(subset=[f"val_{metric}"])
            style = {"color": color, "lw": 1.4, "marker": "o", "ms": 3.5}
            axes[0, 1].plot(points["step"] + 1, points[f"val_{metric}"], **style)
    axes[0, 0].set_ylabel(LOSS)
    if validated:
        axes[0, 1].set_ylabel(f"{ACCURACIES[metric]} (%) while training")
    for ax in axes[0]:
        ax.set_xlabel("step")
        finish(ax, title if ax is axes[0, 0] else "")
    axes[0, 0].legend(fontsize=8, frameon=False)
    fig.tight_layout()
    return fig


def _in_order(values: pd.Series) -> list[object]:
    """Numbers by size, anything else as it comes."""
    found = list(dict.fromkeys(values))
    numbers = pd.to_numeric(pd.Series(found), errors="coerce")
    return found if numbers.isna().any() else [found[k] for k in numbers.argsort()]


def _lines(ax: Axes, shown: pd.DataFrame, factors: list[str], figure: str) -> None:
    (axis,) = factors
    values = _in_order(shown[axis])
    places = shown[axis].map(values.index)
    ax.plot(places, shown[figure], "o", color=GREY, ms=5, mec="white", label="a run each")
    means = shown.groupby(axis, sort=False)[figure].mean().reindex(values)
    ax.plot(range(len(values)), means, "-", color=_COLORS[5], lw=1.6, label="mean over seeds")
    ax.set_xticks(range(len(values)), [for_matplotlib(str(value)) for value in values])
    ax.set_xlim(-0.4, len(values) - 0.6)
    ax.set_xlabel(axis)
    ax.set_ylabel(f"{ACCURACIES[figure]} (%)")
    widen(ax)
    ax.legend(fontsize=8, frameon=False)


def _cells(ax: Axes, shown: pd.DataFrame, factors: list[str], figure: str) -> None:
    rows, columns = (_in_order(shown[name]) for name in factors)
    groups = shown.groupby(factors, sort=False)[figure]
    means = groups.mean().unstack(factors[1]).reindex(index=rows, columns=columns)
    spread = groups.std(ddof=1).unstack(factors[1]).reindex(index=rows, columns=columns)
    image = ax.imshow(means.to_numpy(float), cmap="Blues", aspect="auto")
    low, high = np.nanmin(means), np.nanmax(means)
    for y, x in np.ndindex(means.shape):
        value, apart = means.iloc[y, x], spread.iloc[y, x]
        if np.isnan(value):
            continue
        text = f"{value:.1f}" + ("" if np.isnan(apart) else f"\n± {apart:.1f}")
        dark = high > low and (value - low) / (high - low) > 0.6
        ax.text(x, y, text, ha="center", va="center", color="white" if dark else "black")
    ax.set_xticks(range(len(columns)), [for_matplotlib(str(value)) for value in columns])
    ax.set_yticks(range(len(rows)), [for_matplotlib(str(value)) for value in rows])
    ax.set_xlabel(factors[1])
    ax.set_ylabel(factors[0])
    ax.figure.colorbar(image, ax=ax, label=f"{ACCURACIES[figure]} (%)")


def _rows(ax: Axes, shown: pd.DataFrame, factors: list[str], figure: str) -> None:
    names = shown[factors].astype(str).agg(", ".join, axis=1)
    values = list(dict.fromkeys(names))
    places = names.map(values.index)
    ax.plot(shown[figure], places, "o", color=GREY, ms=5, mec="white", label="a run each")
    means = shown.groupby(names, sort=False)[figure].mean().reindex(values)
    ax.plot(means, range(len(values)), "|", color=_COLORS[5], ms=14, mew=2.5, label="mean")
    ax.set_yticks(range(len(values)), [for_matplotlib(value) for value in values])
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.set_xlabel(f"{ACCURACIES[figure]} (%)")
    ax.legend(fontsize=8, frameon=False)
