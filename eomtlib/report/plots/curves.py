"""What was logged while a model was trained."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eomtlib.core.escaping import for_matplotlib
from eomtlib.core.words import ACCURACIES
from eomtlib.models.ladder import LADDER
from eomtlib.report.plots.style import RUNG_COLORS, RUNG_MARKERS, finish

LOSS = "loss per predicted layer (running mean)"
"""What stands beside the axis of ``running_loss``."""


def running_loss(curves: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Steps, and the loss at each as a mean over a twelfth of the run."""
    logged = curves.dropna(subset=["loss"])
    window = max(1, len(logged) // 12)
    return logged["step"], logged["loss"].rolling(window, min_periods=1).mean()


def plot_curves(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss per predicted layer, validated accuracies, and masking probabilities over training.

    Args:
        curves: rung → its logged values, with the columns ``step``, ``loss`` and ``masking_k``,
            and ``val_pq`` (or another accuracy) where it was validated.
    """
    annealed = {r: c for r, c in curves.items() if LADDER[r].masking == "annealed"}
    validated = [f"val_{m}" for m in ACCURACIES if any(f"val_{m}" in c for c in curves.values())]
    panels = 1 + bool(annealed) + bool(validated)
    fig, axes = plt.subplots(1, panels, figsize=(1.5 + 4.9 * panels, 3.9), squeeze=False)
    ax = axes[0, 0]
    for rung, frame in curves.items():
        style = {"color": RUNG_COLORS[rung], "lw": 1.5, "label": LADDER[rung].title}
        ax.plot(*running_loss(frame), **style)
        for column in (name for name in validated[:1] if name in frame):
            points = frame.dropna(subset=[column])
            style |= {"marker": RUNG_MARKERS[rung], "ms": 4.5}
            axes[0, 1].plot(points["step"] + 1, points[column], **style)
    if validated:
        axes[0, 1].set_ylabel(f"{ACCURACIES[validated[0].removeprefix('val_')]} (%) while training")
        axes[0, 1].set_title("validation", loc="left", fontsize=10)
        axes[0, 1].set_xlabel("step")
    ax.set_title("training loss, logarithmic", loc="left", fontsize=10)
    ax.set_xlabel("step")
    ax.set_ylabel(LOSS)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(plt.ScalarFormatter())
    ax.yaxis.set_minor_formatter(plt.ScalarFormatter())
    ax.legend(fontsize=8, frameon=False)
    if annealed:
        rung = "eomt" if "eomt" in annealed else next(iter(annealed))
        _draw_annealing(axes[0, -1], annealed[rung], LADDER[rung].title)
    for axis in axes.flat:
        finish(axis)
    fig.tight_layout()
    return fig


def plot_annealing(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """The probability that a query's mask applies, over training, a panel for each model.

    Args:
        curves: title → logged values with the columns ``step`` and ``masking_k``.
    """
    fig, axes = plt.subplots(1, len(curves), figsize=(5.0 * len(curves), 3.6), squeeze=False)
    for ax, (title, frame) in zip(axes[0], curves.items(), strict=True):
        _draw_annealing(ax, frame, title)
        finish(ax)
    fig.tight_layout()
    return fig


def _draw_annealing(ax: Axes, frame: pd.DataFrame, title: str) -> None:
    columns = [c for c in frame if c.startswith("masking_")]
    shades = plt.get_cmap("viridis")(np.linspace(0.1, 0.8, len(columns)))
    for column, shade, style in zip(columns, shades, ["-", "--", "-.", ":"] * 3, strict=False):
        block = int(column.removeprefix("masking_")) + 1
        ax.plot(frame["step"], frame[column], color=shade, ls=style, label=f"query block {block}")
    ax.set_xlabel("step")
    ax.set_ylabel("probability that a mask applies")
    ax.set_title(for_matplotlib(f"mask annealing of {title}"), loc="left", fontsize=10)
    ax.legend(fontsize=8, frameon=False)
