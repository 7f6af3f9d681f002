"""The ladder as a picture."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from eomtlib.models.ladder import LADDER
from eomtlib.report.plots.style import RUNG_COLORS


def plot_ladder() -> Figure:
    """What each rung is made of, as a table of coloured boxes."""
    parts = list(dict.fromkeys(part for rung in LADDER.values() for part in rung.parts))
    parts.sort(key=lambda part: -sum(part in rung.parts for rung in LADDER.values()))
    fig, ax = plt.subplots(figsize=(11, 3.9))
    for rung in LADDER.values():
        y = len(LADDER) - 1 - rung.step
        ax.text(-0.15, y, f"{rung.step}  {rung.title}", ha="right", va="center", fontsize=10)
        for column, part in enumerate(parts):
            if part in rung.parts:
                box = FancyBboxPatch(
                    (column + 0.06, y - 0.32), 0.88, 0.64, boxstyle="round,pad=0,rounding_size=0.1",
                    fc=RUNG_COLORS[rung.name], alpha=0.85, ec="none",
                )  # fmt: skip
                ax.add_patch(box)
    for column, part in enumerate(parts):
        ax.text(
            column + 0.5, len(LADDER) - 0.4, part.replace(" ", "\n"), ha="center", va="bottom",
            fontsize=8.5,
        )  # fmt: skip
    ax.set_xlim(-3.1, len(parts))
    ax.set_ylim(-0.6, len(LADDER) + 0.7)
    ax.axis("off")
    fig.tight_layout()
    return fig
