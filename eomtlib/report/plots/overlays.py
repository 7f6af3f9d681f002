"""Segments drawn over their image."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import numpy as np
from matplotlib.colors import hsv_to_rgb

_LARGE_ENOUGH = 256
_ROWS = 64


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
    # −1 is the last.
    lookup = np.vstack([palette[list(labels)] if len(labels) else palette[:0], [[0, 0, 0]]])
    mixed = np.empty_like(image)
    for top in range(0, len(image), _ROWS):  # eight times the image, if at once
        rows = slice(top, top + _ROWS)
        mixed[rows] = 0.4 * image[rows] + 0.6 * lookup[ids[rows]]
    mixed[outlines(ids)] = 255
    return mixed


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
    return 255 * hsv_to_rgb(hsv)
