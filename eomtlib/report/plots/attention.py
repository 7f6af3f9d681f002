"""Where a query looks, block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure


def plot_attention(
    image: np.ndarray, rows: Mapping[str, tuple[Sequence[np.ndarray], np.ndarray]]
) -> Figure:
    """One query of each model: its attention in every block, and the mask that it ends with.

    Args:
        image: ``[H, W, 3]`` uint8.
        rows: title → the weights of the patches in each block, each ``[rows, columns]``, and the
            final mask's probabilities ``[h, w]``. The text under a map is the share of the
            attention that goes to patches; its colours are scaled to its own maximum.
    """
    blocks = max(len(maps) for maps, _ in rows.values())
    fig, axes = plt.subplots(
        len(rows), blocks + 2, figsize=(1.75 * (blocks + 2) + 1.9, 2.0 * len(rows)), squeeze=False
    )
    grey = image.mean(axis=2)
    extent = (-0.5, image.shape[1] - 0.5, image.shape[0] - 0.5, -0.5)
    for line, (title, (maps, mask)) in zip(axes, rows.items(), strict=True):
        line[0].imshow(image)
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
        for axis, weights in zip(line[1:], maps, strict=False):
            axis.imshow(grey, cmap="gray", alpha=0.5)
            axis.imshow(weights, cmap="magma", alpha=0.75, extent=extent, interpolation="nearest")
            axis.set_xlabel(f"{100 * weights.sum():.0f} % on patches", fontsize=8)
        line[-1].imshow(grey, cmap="gray", alpha=0.5)
        line[-1].imshow(mask, cmap="viridis", vmin=0, vmax=1, alpha=0.75, extent=extent)
    for axis, title in zip(
        axes[0],
        ["image", *(f"query block {index + 1}" for index in range(blocks)), "final mask"],
        strict=True,
    ):
        axis.set_title(title, fontsize=9)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    fig.tight_layout(h_pad=0.6, w_pad=0.4)
    return fig
