"""Masks that may overlap, laid into the layers of a segment map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from pycocotools import mask as rle_masks

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
        encoded = rle_masks.merge(rle_masks.frPyObjects(outline, height, width))
    elif isinstance(outline["counts"], list):
        encoded = rle_masks.frPyObjects(outline, height, width)
    else:
        encoded = outline
    mask = rle_masks.decode(encoded).astype(bool)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return mask[:0, :0], (0, 0)
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.ascontiguousarray(box), (int(rows[0]), int(columns[0]))


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
    """How many pixels COCO's text of run lengths is for; −1 for what is none.

    Each character holds 5 bits of a number, the lowest first, and whether more follow; the last of
    a number also its sign. From the fourth number on it is the difference to the last but one.
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    last = codes & 32 == 0
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or not last[-1]:
        return -1
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, ends - starts + 1))
    if shifts.max() > 30:
        return -1
    numbers = np.add.reduceat((codes & 31) << shifts, starts)
    numbers -= (codes[ends] >> 4 & 1) << (shifts[ends] + 5)
    for chain in (numbers[1::2], numbers[2::2]):
        np.cumsum(chain, out=chain)
    return -1 if numbers.min() < 0 else int(numbers.sum())
