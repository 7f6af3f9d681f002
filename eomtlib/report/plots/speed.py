"""How fast models run, without any accuracy."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from eomtlib.models.ladder import LADDER
from eomtlib.report.plots.style import RUNG_COLORS, finish, small_print

_LABEL = "images per second (FPS), batch 1"


def plot_speed(
    table: pd.DataFrame, *, title: str = "", subtitle: str = "", note: str = ""
) -> Figure:
    """Images a second of each rung, a panel for each size: a bar alone, a line end to end.

    Args:
        table: one row for each model, with ``rung``, ``fps``, and where there are ``size`` and
            ``fps_end_to_end``.
        title: of the figure.
        subtitle: what it was measured under.
        note: small print below it.
    """
    groups = list(table.groupby("size", sort=False)) if "size" in table else [("", table)]
    rungs = [rung for rung in LADDER if rung in set(table["rung"])]
    fig, axes = plt.subplots(
        1, len(groups), figsize=(max(7.2, 3.2 * len(groups) + 2), 1.4 + 0.36 * len(rungs)),
        squeeze=False, sharey=True,
    )  # fmt: skip
    for ax, (size, part) in zip(axes[0], groups, strict=True):
        part = part.drop_duplicates("rung", keep="last").set_index("rung").reindex(rungs)
        places, fps = np.arange(len(rungs)), part["fps"].to_numpy(float)
        ax.barh(places, fps, 0.62, color=[RUNG_COLORS[rung] for rung in rungs], alpha=0.85)
        for y, value in zip(places, fps, strict=True):
            if np.isfinite(value):
                ax.annotate(
                    f" {value:.3g}", (value, y), xytext=(5, 0), textcoords="offset points",
                    va="center", fontsize=8.5,
                )  # fmt: skip
        if "fps_end_to_end" in part:
            whole = part["fps_end_to_end"].to_numpy(float)
            ax.plot(whole, places, "|", color="white", ms=13, mew=4)
            ax.plot(whole, places, "|", color="black", ms=13, mew=1.6)
        ax.set_xlim(0, 1.16 * np.nanmax(fps))
        ax.set_xlabel(f"{size}: {_LABEL}" if len(groups) > 1 else _LABEL)
        finish(ax, title if ax is axes[0, 0] else "", subtitle=subtitle if ax is axes[0, 0] else "")
        ax.grid(visible=False, axis="y")
        ax.set_axisbelow(True)
    axes[0, 0].set_yticks(range(len(rungs)), [LADDER[rung].title for rung in rungs])
    axes[0, 0].set_ylim(len(rungs) - 0.5, -0.5)
    key = "Bar: the model alone." + (
        " Black line: end to end, from image to segmentation." if "fps_end_to_end" in table else ""
    )
    fig.tight_layout()
    small_print(fig, [key, note])
    return fig
