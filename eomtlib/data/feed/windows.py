"""Images as evenly spaced windows of the model's input size, for semantic segmentation.

EoMT (Kerssies et al., CVPR 2025), evaluation of semantic segmentation: the shorter side is resized
to the input size, and square crops slide along the longer side. Windows that are not square slide
along the one side that the image does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eomtlib.data.feed.transforms import resize_image


@dataclass(frozen=True)
class WindowLayout:
    """Where windows lie on a resized image.

    Attributes:
        size: height and width of the resized image, which is at least as large as a window.
        offsets: row and column of each window's top left corner. The first lies at the image's
            start, the last ends where the image ends.
    """

    size: tuple[int, int]
    offsets: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, original: Sequence[int], window: Sequence[int]) -> WindowLayout:
        """The fewest windows that cover an image, evenly spaced, rounded down to pixels.

        Args:
            original: height and width of the image.
            window: height and width of a window.
        """
        scale = max(window[0] / original[0], window[1] / original[1])
        height, width = (
            max(own, round(side * scale)) for side, own in zip(original, window, strict=True)
        )
        rows, columns = _starts(height, window[0]), _starts(width, window[1])
        return cls((height, width), tuple((top, left) for top in rows for left in columns))


class WindowTransform:
    """Cuts an image into the windows of its layout.

    Args:
        window: height and width of a window, the model's input size.
    """

    def __init__(self, window: tuple[int, int]) -> None:
        self.window = (int(window[0]), int(window[1]))

    def fit(self, image: Tensor) -> Tensor:
        """``[3, H, W]`` uint8 → ``[N, 3, *window]``, bilinear with antialiasing."""
        height, width = self.window
        layout = WindowLayout.of(image.shape[-2:], self.window)
        resized = resize_image(image, layout.size)
        windows = [
            resized[:, top : top + height, left : left + width] for top, left in layout.offsets
        ]
        return torch.stack(windows)


def _starts(side: int, window: int) -> list[int]:
    steps = math.ceil(side / window) - 1
    return [step * (side - window) // max(steps, 1) for step in range(steps + 1)]
