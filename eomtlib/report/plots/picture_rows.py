"""Pictures in rows, one row for each thing that was made of the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from eomtlib.report.plots.style import small_print


def plot_pictures(rows: Mapping[str, Sequence[np.ndarray]], *, note: str = "") -> Figure:
    """One column for each image.

    Args:
        rows: title → pictures ``[H, W, 3]`` uint8, as many in every row.
        note: small print below.
    """
    columns = max(len(pictures) for pictures in rows.values())
    fig, axes = plt.subplots(
        len(rows), columns, figsize=(1.75 * columns + 1.2, 1.8 * len(rows)), squeeze=False
    )
    for line, (title, pictures) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
        for ax, picture in zip(line, pictures, strict=True):
            ax.imshow(picture, interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_visible(False)
    fig.tight_layout(h_pad=0.4, w_pad=0.4)
    small_print(fig, [note])
    return fig
