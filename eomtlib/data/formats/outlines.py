"""Masks that may overlap, laid into the layers of a segment map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from pycocotools import mask as rle_masks

from eomtlib.core.run_lengths import mask_in_box, numbers_of
from eomtlib.core.structures import VOID


def rasterise(outline: Any, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """The mask of polygons or run lengths, exactly pycocotools', cut to its bounding box.

    Args:
        outline: a list of polygons ``[x, y, x, y, …]``, or ``{"size", "counts"}`` with run lengths
            as numbers or as COCO's text (https://cocodataset.org/#format-data).
        size: height and width of the image. Run lengths must add up to its pixels, or pixels of
            the mask are anything.

    Returns:
        ``[h, w]`` bool, and the row and column of its upper left corner; ``[0, 0]`` for a mask
        without pixels.
    """
    height, width = size
    if isinstance(outline, list):
        counts = rle_masks.merge(rle_masks.frPyObjects(outline, height, width))["counts"]
    else:
        counts = outline["counts"]
    if isinstance(counts, list):
        return mask_in_box(np.array(counts, np.int64), height)
    return mask_in_box(numbers_of(counts.encode() if isinstance(counts, str) else counts), height)


def lay_out(
    masks: Iterable[tuple[np.ndarray, tuple[int, int]]], size: tuple[int, int]
) -> np.ndarray:
    """Puts each mask, whole, into the first layer in which it meets no other.

    Args:
        masks: in turn, as ``rasterise`` gives them; no two are held at a time.
        size: height and width of the map.

    Returns:
        ``[K, H, W]`` int16, positions among the masks or −1; K is at least 1.
    """
    layers = [np.full(size, VOID, np.int16)]
    for number, (mask, (top, left)) in enumerate(masks):
        box = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
        for layer in layers:
            if (layer[box][mask] == VOID).all():
                break
        else:
            layer = np.full(size, VOID, np.int16)
            layers.append(layer)
        layer[box][mask] = number
    return np.stack(layers)


def text_pixels(text: bytes) -> int:
    """How many pixels COCO's text of run lengths is for; −1 for what is none."""
    numbers = numbers_of(text)
    return int(numbers.sum()) if numbers.min(initial=0) >= 0 < len(numbers) else -1
