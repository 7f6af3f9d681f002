"""Segments drawn over their image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

OPACITY = 0.42
"""Of a colour over the image: what is below stays to be seen."""
_LARGE_ENOUGH = 256
_ROWS = 64


def enlargement(size: tuple[int, int]) -> int:
    """By what factor to ``enlarge`` a picture of this height and width before it is drawn on."""
    return max(1, _LARGE_ENOUGH // max(size))


def enlarge(pixels: np.ndarray, factor: int) -> np.ndarray:
    """``[H, W, ...]`` with every pixel as a square of ``factor`` pixels."""
    return pixels if factor == 1 else pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def overlay(
    image: np.ndarray,
    ids: np.ndarray,
    labels: Sequence[int],
    *,
    colors: np.ndarray,
    opacity: float = OPACITY,
) -> np.ndarray:
    """An image with its segments tinted by class and outlined; void is darkened.

    Args:
        image: ``[H, W, 3]`` uint8.
        ids: ``[H, W]``, positions in ``labels``; −1 is void.
        labels: the class of each segment.
        colors: ``[K, 3]`` of all classes, as ``class_colors`` gives them.
        opacity: of the colours, 0 to 1.

    Returns:
        ``[H, W, 3]`` uint8.
    """
    # −1 is the last.
    lookup = opacity * np.vstack([colors[list(labels)] if len(labels) else colors[:0], [[0, 0, 0]]])
    mixed = np.empty_like(image)
    for top in range(0, len(image), _ROWS):  # eight times the image, if at once
        rows = slice(top, top + _ROWS)
        mixed[rows] = (1 - opacity) * image[rows] + lookup[ids[rows]]
    mixed[outlines(ids)] = 255
    return mixed


def outlines(values: np.ndarray) -> np.ndarray:
    """``[H, W]`` bool: where a value differs from the one above or to the left."""
    edges = np.zeros(values.shape, bool)
    edges[:, 1:] |= values[:, 1:] != values[:, :-1]
    edges[1:] |= values[1:] != values[:-1]
    return edges
