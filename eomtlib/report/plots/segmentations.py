"""Images with their segments drawn over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gcd

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

_LARGE_ENOUGH = 256


def plot_segmentations(
    images: Sequence[np.ndarray],
    rows: Mapping[str, Sequence[tuple[np.ndarray, Sequence[int]]]],
    *,
    class_names: Sequence[str],
) -> Figure:
    """The same images segmented by every model, side by side.

    Args:
        images: each ``[H, W, 3]`` uint8.
        rows: title → for each image its map of segment ids ``[H, W]`` (−1 is void) and the class
            of each id.
        class_names: to look classes up for the legend.
    """
    columns = len(images)
    fig, axes = plt.subplots(
        len(rows) + 1, columns, figsize=(2.0 * columns + 1.7, 2.0 * (len(rows) + 1)), squeeze=False
    )
    # Small images are enlarged first, so that outlines are thin beside their pixels.
    factors = [enlargement(image.shape[:2]) for image in images]
    images = [enlarge(image, factor) for image, factor in zip(images, factors, strict=True)]
    for axis, image in zip(axes[0], images, strict=True):
        axis.imshow(image)
    axes[0, 0].set_ylabel("image", rotation=0, ha="right", va="center", fontsize=9)
    present: set[int] = set()
    for row, (title, maps) in zip(axes[1:], rows.items(), strict=True):
        for axis, image, factor, (ids, labels) in zip(row, images, factors, maps, strict=True):
            enlarged = enlarge(ids, factor)
            axis.imshow(overlay(image, enlarged, labels, num_classes=len(class_names)))
            present |= {labels[i] for i in np.unique(ids) if i >= 0}
        row[0].set_ylabel(
            title.replace(" + ", "\n+ "), rotation=0, ha="right", va="center", fontsize=9
        )
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    palette = class_palette(len(class_names))
    handles = [plt.Rectangle((0, 0), 1, 1, color=palette[i] / 255) for i in sorted(present)]
    names = [class_names[i] for i in sorted(present)]
    if handles:
        handles.append(plt.Rectangle((0, 0), 1, 1, color="0.2"))
        names.append("(darkened: no segment)")
    fig.tight_layout(h_pad=0.4, w_pad=0.4)
    if handles:
        per_row = max(2, columns + 1)
        shown = min(len(handles), 4 * per_row)
        fig.legend(
            handles[:shown], names[:shown], loc="upper center", bbox_to_anchor=(0.5, 0.0),
            ncols=per_row, fontsize=8, frameon=False,
        )  # fmt: skip
    return fig


def enlargement(size: tuple[int, int]) -> int:
    """By what factor to ``enlarge`` a picture of this height and width before it is drawn on."""
    return max(1, _LARGE_ENOUGH // max(size))


def enlarge(pixels: np.ndarray, factor: int) -> np.ndarray:
    """``[H, W, ...]`` with every pixel as a square of ``factor`` pixels."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def overlay(
    image: np.ndarray, ids: np.ndarray, labels: Sequence[int], *, num_classes: int
) -> np.ndarray:
    """An image with its segments tinted by class and outlined; void is darkened."""
    palette = class_palette(num_classes)
    lookup = np.vstack([palette[list(labels)] if len(labels) else palette[:0], [[0, 0, 0]]])
    tint = lookup[np.where(ids < 0, len(labels), ids)]
    mixed = 0.4 * image + 0.6 * tint
    mixed[outlines(ids)] = 255
    return mixed.clip(0, 255).astype(np.uint8)


def outlines(values: np.ndarray) -> np.ndarray:
    """``[H, W]`` bool: where a value differs from the one above or to the left."""
    edges = np.zeros(values.shape, bool)
    edges[:, 1:] |= values[:, 1:] != values[:, :-1]
    edges[1:] |= values[1:] != values[:-1]
    return edges


def class_palette(num_classes: int) -> np.ndarray:
    """``[num_classes, 3]`` colours 0 to 255: hues far apart from class to class.

    Hues are spaced evenly, and those beside each other differ in saturation and brightness.
    """
    step = round(0.618 * num_classes) or 1
    while gcd(step, num_classes) > 1:
        step += 1
    places = np.arange(num_classes) * step % max(num_classes, 1)
    tones = np.array([(0.85, 0.95), (0.9, 0.55), (0.45, 0.9)])[places % 3]
    hsv = np.column_stack([places / max(num_classes, 1), tones])
    return 255 * plt.matplotlib.colors.hsv_to_rgb(hsv)
