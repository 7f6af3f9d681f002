"""Images in rows: a column for each image or block, a row for each model that looks at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from eomtlib.core.escaping import for_matplotlib
from eomtlib.core.structures import ClassInfo
from eomtlib.data.class_colors import class_colors
from eomtlib.report.plots.images.named_overlays import Segments, named_overlay
from eomtlib.report.plots.images.overlays import OPACITY, enlarge, enlargement
from eomtlib.report.plots.style import small_print


def plot_pictures(rows: Mapping[str, Sequence[np.ndarray]], *, note: str = "") -> Figure:
    """One column for each image.

    Args:
        rows: title → pictures ``[H, W, 3]`` uint8, as many in every row.
        note: small print below.
    """
    columns = max(len(pictures) for pictures in rows.values())
    fig, axes = _grid(list(rows), columns, figsize=(1.75 * columns + 1.2, 1.8 * len(rows)))
    for line, pictures in zip(axes, rows.values(), strict=True):
        for ax, picture in zip(line, pictures, strict=True):
            ax.imshow(picture, interpolation="nearest")
    fig.tight_layout(h_pad=0.4, w_pad=0.4)
    small_print(fig, [note])
    return fig


def plot_segmentations(
    images: Sequence[np.ndarray],
    rows: Mapping[str, Sequence[tuple[np.ndarray, Sequence[int]]]],
    *,
    classes: Sequence[ClassInfo],
    titles: Sequence[str] = (),
    per_line: int = 0,
) -> Figure:
    """The same images segmented by every model, side by side.

    Args:
        images: each ``[H, W, 3]`` uint8.
        rows: title → for each image its map of segment ids ``[H, W]`` (−1 is void) and the class
            of each id.
        classes: of the ids.
        titles: of each image, above it.
        per_line: images beside each other, the others below these; 0 for all.
    """
    columns = per_line or len(images)
    sides = ["image", *(title.replace(" + ", "\n+ ") for title in rows)]
    lines = -(-len(images) // columns)
    size = (1.7 * columns + 1.9, 1.7 * len(sides) * lines)
    fig, axes = _grid(sides * lines, columns, figsize=size)
    # From [lines * sides, columns] to a row for each side, a column for each image.
    axes = axes.reshape(lines, len(sides), columns).swapaxes(0, 1).reshape(len(sides), -1)
    axes = axes[:, : len(images)]
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(for_matplotlib(title), fontsize=9)
    present: set[int] = set()
    for column, image in zip(axes.T, images, strict=True):
        # Small images are enlarged first, so that outlines are thin beside their pixels.
        factor = enlargement(image.shape[:2])
        column[0].imshow(enlarge(image, factor))
    for line, maps in zip(axes[1:], rows.values(), strict=True):
        for axis, image, (ids, labels) in zip(line, images, maps, strict=True):
            axis.imshow(named_overlay(image, Segments(ids, labels, classes)))
            present |= {labels[i] for i in np.unique(ids) if i >= 0}
    # Wide titles beside square images: what is merely tight would lay images over each other.
    fig.set_layout_engine("compressed", w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    if present:
        # As they show over a middle grey.
        swatches = OPACITY * class_colors(classes) / 255 + (1 - OPACITY) * 0.5
        colors = [*(swatches[i] for i in sorted(present)), str(0.5 * (1 - OPACITY))]
        names = [classes[i].name for i in sorted(present)]
        # A legend leaves out what begins with an underscore.
        names = [for_matplotlib(f" {n}" if n.startswith("_") else n) for n in names]
        names = [*names, "(darkened: no segment)"]
        handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in colors]
        per_row = max(2, columns + 1)
        most = 4 * per_row
        fig.legend(
            handles[:most], names[:most], loc="upper center", bbox_to_anchor=(0.5, 0.0),
            ncols=per_row, fontsize=8, frameon=False,
        )  # fmt: skip
    return fig


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
    size = (1.75 * (blocks + 2) + 1.9, 2.0 * len(rows))
    fig, axes = _grid(list(rows), blocks + 2, figsize=size)
    grey = image.mean(axis=2)
    extent = (-0.5, image.shape[1] - 0.5, image.shape[0] - 0.5, -0.5)
    for line, (maps, mask) in zip(axes, rows.values(), strict=True):
        line[0].imshow(image)
        for axis, weights in zip(line[1:], maps, strict=False):
            axis.imshow(grey, cmap="gray", alpha=0.5)
            axis.imshow(weights, cmap="magma", alpha=0.75, extent=extent, interpolation="nearest")
            axis.set_xlabel(f"{100 * weights.sum():.0f} % on patches", fontsize=8)
        line[-1].imshow(grey, cmap="gray", alpha=0.5)
        line[-1].imshow(mask, cmap="viridis", vmin=0, vmax=1, alpha=0.75, extent=extent)
    titles = ["image", *(f"query block {index + 1}" for index in range(blocks)), "final mask"]
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    fig.tight_layout(h_pad=0.6, w_pad=0.4)
    key = (
        "Query blocks: attention of the query of the surest segment, light where most, each map to "
    )
    key += (
        "its own maximum; what is missing from 100 % goes to queries and other tokens. Final mask: "
    )
    small_print(fig, [key + "its probability, 0 (dark) to 1 (yellow)."])
    return fig


def _grid(
    titles: Sequence[str], columns: int, *, figsize: tuple[float, float]
) -> tuple[Figure, np.ndarray]:
    """Axes without ticks and frames, ``[rows, columns]``, each row's title on its left."""
    bare = {"xticks": [], "yticks": [], "frame_on": False}
    fig, axes = plt.subplots(len(titles), columns, figsize=figsize, squeeze=False, subplot_kw=bare)
    for axis, title in zip(axes[:, 0], titles, strict=True):
        axis.set_ylabel(for_matplotlib(title), rotation=0, ha="right", va="center", fontsize=9)
    return fig, axes
