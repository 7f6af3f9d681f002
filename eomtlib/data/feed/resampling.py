"""Windows of a resized image and of its segment map, as training shows them.

Output pixel i shows the source position (offset + i + 0.5) · scale − 0.5, read bilinearly with
antialiasing from the image and from the nearest pixel of the map. Only what a window shows is
computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image


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
    """Shows an image's window in a canvas, by Pillow's bilinear resizing with antialiasing.

    Args:
        image: ``[H, W, 3]`` uint8.
        window: no larger than the canvas.
        canvas: ``[3, h, w]`` uint8, filled: the window in the upper left corner, the rest with 0.
        flip: whether the window is shown with left and right exchanged.
    """
    (rows, columns), (height, width) = window.size, image.shape[:2]
    y, x = height / window.resized[0], width / window.resized[1]
    top, left = window.offset[0] * y, window.offset[1] * x
    # Less what rounding puts beyond the image.
    box = left, top, min(left + columns * x, width), min(top + rows * y, height)
    resized = Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR, box=box)
    shown = np.asarray(resized).transpose(2, 0, 1)
    canvas[:, :rows, :columns] = shown[..., ::-1] if flip else shown
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
