"""Windows of a resized image and of its segment map, as training shows them.

Output pixel i shows the source position (offset + i + 0.5) · scale − 0.5, read bilinearly with
antialiasing from the image and from the nearest pixel of the map. Only what a window shows is
computed, and it is written where it belongs: into a canvas, mirrored or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eomtlib.data.decoding.compiled import compiled

_BITS = 13
"""Of a weight's fraction: three channels of 8 + 13 bits are summed in one word of 64."""

_FIELD = 21
_MORE = 8
"""Bits that an enlarged image keeps beyond the 8 of a pixel between its two passes."""


@dataclass(frozen=True)
class Window:
    """What a crop shows of a resized image.

    Attributes:
        resized: height and width that the whole image would be resized to.
        offset: row and column of the crop's corner in the resized image.
        size: rows and columns that are shown.
    """

    resized: tuple[int, int]
    offset: tuple[int, int]
    size: tuple[int, int]


def draw_image(image: np.ndarray, window: Window, canvas: np.ndarray, *, flip: bool) -> None:
    """Shows an image's window in a canvas, like Pillow's bilinear resizing to one grey level.

    Args:
        image: ``[H, W, 3]`` uint8.
        window: no larger than the canvas.
        canvas: ``[3, h, w]`` uint8, filled: the window in the upper left corner, the rest with 0.
        flip: whether the window is shown with left and right exchanged.
    """
    (rows, columns), (height, width) = window.size, image.shape[:2]
    y, row_weights = _weights(window.resized[0], window.offset[0], rows, height)
    x, weights = _weights(window.resized[1], window.offset[1], columns, width)
    if flip:
        x, weights = x[::-1].copy(), weights[::-1].copy()
    top, bottom = int(y[0]), int(y[-1]) + row_weights.shape[1]
    left, right = int(x.min()), int(x.max()) + weights.shape[1]
    seen = np.ascontiguousarray(image).reshape(height, 3 * width)
    seen = seen[top:bottom, 3 * left : 3 * right]
    # The first pass is better the one that leaves fewer pixels to the other.
    resize = _rows_first if rows < len(seen) else _columns_first
    resize(seen, y - top, row_weights, x - left, weights, canvas)
    canvas[:, :rows, columns:] = 0
    canvas[:, rows:] = 0


def nearest(window: Window, size: tuple[int, int], *, flip: bool) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns of a map of ``size`` that a window shows, int64."""
    places = []
    for side, resized, offset, shown in zip(
        size, window.resized, window.offset, window.size, strict=True
    ):
        centres = (np.arange(shown) + (offset + 0.5)) * (side / resized)
        places.append(np.minimum(centres.astype(np.int64), side - 1))
    rows, columns = places
    return rows, columns[::-1].copy() if flip else columns


@compiled
def _weights(resized: int, offset: int, shown: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The source pixels of each output pixel, as a triangle filter takes them.

    Returns:
        The first of them ``[shown]`` int64, and the weight of each ``[shown, taps]`` int32: sums
        to 2^13.
    """
    scale = side / resized
    reach = max(scale, 1.0)
    first, last = np.empty(shown, np.int64), np.empty(shown, np.int64)
    taps = 1
    for i in range(shown):
        centre = (offset + i + 0.5) * scale
        first[i] = max(int(centre - reach + 0.5), 0)
        last[i] = min(int(centre + reach + 0.5), side)
        taps = max(taps, last[i] - first[i])
    weights = np.zeros((shown, taps), np.int32)
    exact = np.empty(taps, np.float64)
    for i in range(shown):
        centre = (offset + i + 0.5) * scale
        # All have as many pixels: at the far edge some in front of weight 0.
        start, first[i] = first[i], min(first[i], side - taps)
        count = last[i] - start
        for j in range(count):
            exact[j] = max(1.0 - abs((start + j + 0.5 - centre) / reach), 0.0)
        total, left, largest = exact[:count].sum(), 1 << _BITS, 0
        for j in range(count):
            place = start - first[i] + j
            weights[i, place] = int(exact[j] / total * (1 << _BITS) + 0.5)
            left -= weights[i, place]
            if weights[i, place] > weights[i, largest]:
                largest = place
        weights[i, largest] += left
    return first, weights


@compiled
def _rows_first(
    pixels: np.ndarray,
    y: np.ndarray,
    row_weights: np.ndarray,
    x: np.ndarray,
    column_weights: np.ndarray,
    canvas: np.ndarray,
) -> None:
    line = np.empty(pixels.shape[1], np.uint8)
    for i in range(len(y)):
        _mix_rows(pixels, y[i], row_weights[i], _BITS, line)
        _mix_columns(line, x, column_weights, _BITS, canvas[:, i])


@compiled
def _columns_first(
    pixels: np.ndarray,
    y: np.ndarray,
    row_weights: np.ndarray,
    x: np.ndarray,
    column_weights: np.ndarray,
    canvas: np.ndarray,
) -> None:
    mixed = np.empty((3, len(pixels), len(x)), np.uint16)
    for i in range(len(pixels)):
        _mix_columns(pixels[i], x, column_weights, _BITS - _MORE, mixed[:, i])
    for i in range(len(y)):
        for channel in range(3):
            target = canvas[channel, i, : len(x)]
            _mix_rows(mixed[channel], y[i], row_weights[i], _BITS + _MORE, target)


@compiled
def _mix_rows(
    rows: np.ndarray, first: int, weights: np.ndarray, bits: int, target: np.ndarray
) -> None:
    """The weighted sum of rows from ``first`` on, divided by 2^bits and rounded."""
    half = np.int32(1 << (bits - 1))
    if len(weights) == 2:
        a, b, v, w = rows[first], rows[first + 1], weights[0], weights[1]
        for x in range(len(target)):
            target[x] = np.int32(a[x] * v + b[x] * w + half) >> bits
        return
    sums = np.full(len(target), half, np.int32)
    for j in range(len(weights)):
        row, w = rows[first + j], weights[j]
        for x in range(len(target)):
            sums[x] = np.int32(sums[x] + row[x] * w)
    for x in range(len(target)):
        target[x] = sums[x] >> bits


@compiled
def _mix_columns(
    line: np.ndarray, first: np.ndarray, weights: np.ndarray, bits: int, target: np.ndarray
) -> None:
    """The weighted sums of a line's pixels from each ``first`` on, divided by 2^bits and rounded.

    Args:
        line: ``[3 W]``, the channels of a pixel side by side.
        first: ``[w]``.
        weights: ``[w, taps]``.
        bits: see above.
        target: ``[3, w or more]``, written to.
    """
    # Three channels in one word, so that one multiplication serves them all.
    packed = np.empty(len(line) // 3, np.uint64)
    for x in range(len(packed)):
        packed[x] = 0
        for channel in range(3):
            packed[x] |= np.uint64(line[3 * x + channel]) << np.uint64(_FIELD * channel)
    half = np.uint64(sum([1 << (_FIELD * channel + bits - 1) for channel in range(3)]))
    mask = np.uint64((1 << (_FIELD - bits)) - 1)
    for x in range(len(first)):
        total = half
        for j in range(weights.shape[1]):
            total += packed[first[x] + j] * np.uint64(weights[x, j])
        for channel in range(3):
            target[channel, x] = total >> np.uint64(_FIELD * channel + bits) & mask
