"""The ladder as a picture."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from eomtlib.models.ladder import LADDER
from eomtlib.report.plots.style import RUNG_COLORS, small_print

_FROZEN = "frozen "
_PRINTED = {"pq": ("PQ", "{:.1f}"), "fps": ("FPS", "{:.0f}")}


def plot_ladder(printed: pd.DataFrame | None = None) -> Figure:
    """What each rung is made of, as a table of coloured boxes; a part that learns nothing says so.

    Args:
        printed: ``rung``, ``pq`` and ``fps`` of a paper (``eomt_table1_ladder``), written behind.
    """
    made_of = {n: [p.removeprefix(_FROZEN) for p in rung.parts] for n, rung in LADDER.items()}
    parts = list(dict.fromkeys(part for own in made_of.values() for part in own))
    parts.sort(key=lambda part: -sum(part in own for own in made_of.values()))
    figures = pd.DataFrame() if printed is None else printed.set_index("rung")
    columns = [*parts, *(_PRINTED[name][0] for name in _PRINTED if name in figures)]
    fig, ax = plt.subplots(figsize=(11, 3.9))
    for rung in LADDER.values():
        y = len(LADDER) - 1 - rung.step
        ax.text(-0.15, y, f"{rung.step}  {rung.title}", ha="right", va="center", fontsize=10)
        for column, part in enumerate(parts):
            if part in made_of[rung.name]:
                box = FancyBboxPatch(
                    (column + 0.06, y - 0.32), 0.88, 0.64, boxstyle="round,pad=0,rounding_size=0.1",
                    fc=RUNG_COLORS[rung.name], alpha=0.85, ec="none",
                )  # fmt: skip
                ax.add_patch(box)
            if f"{_FROZEN}{part}" in rung.parts:
                ax.text(column + 0.5, y, "frozen", ha="center", va="center", color="white")
        for name, (heading, form) in _PRINTED.items():
            if rung.name in figures.index:
                text = form.format(figures.loc[rung.name, name])
                ax.text(columns.index(heading) + 0.5, y, text, ha="center", va="center")
    for column, part in enumerate(columns):
        ax.text(
            column + 0.5, len(LADDER) - 0.4, part.replace(" ", "\n"), ha="center", va="bottom",
            fontsize=8.5, weight="normal" if part in parts else "bold",
        )  # fmt: skip
    if len(figures):
        small_print(fig, ["PQ and FPS as printed: ViT-L, DINOv2, COCO at 640×640, H100."])
    ax.set_xlim(-3.1, len(columns))
    ax.set_ylim(-0.6, len(LADDER) + 0.7)
    ax.axis("off")
    fig.tight_layout()
    return fig
