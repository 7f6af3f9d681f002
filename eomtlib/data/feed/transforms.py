"""Augmentation and resizing of an image together with its segment map.

Image and map go through one mapping of pixel centres, which ``feed.resampling`` describes. Training
computes only what a crop shows. Every draw comes from the generator that is passed in.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as colour_ops

from eomtlib.core.errors import DataError
from eomtlib.core.structures import VOID, SegmentMap, fitted_size
from eomtlib.data.feed.augmentation import AugmentationConfig
from eomtlib.data.feed.resampling import Window, draw_image, nearest


class TrainTransform:
    """Colours, flip, scale jitter, pad and random crop to images of one size.

    Args:
        size: height and width of the result.
        config: what is drawn.
    """

    def __init__(self, size: tuple[int, int], config: AugmentationConfig | None = None) -> None:
        self.size = (int(size[0]), int(size[1]))
        self.config = config or AugmentationConfig()

    def __call__(
        self,
        image: Tensor,
        segments: SegmentMap,
        generator: torch.Generator,
        *,
        canvas: Tensor | None = None,
    ) -> tuple[Tensor, SegmentMap]:
        """Augments one image.

        Args:
            image: ``[3, H, W]`` uint8.
            segments: of the same size.
            generator: on the CPU; the result is a function of its state.
            canvas: ``[3, *size]`` uint8, contiguous, to write the image to; None for a new one.

        Returns:
            The image ``[3, *size]``, padded with 0 at the bottom and right, and its segments,
            padded with void. Segments that the crop does not show are gone and the rest
            renumbered; none may be left.
        """
        image = self._jitter_colours(image, generator)
        flip = torch.rand((), generator=generator).item() < self.config.flip
        for _ in range(self.config.crop_attempts):
            window = self._draw_window(segments.size, generator)
            cropped = resize_segments(segments, window, size=self.size, flip=flip, only_shown=True)
            # Crowds are no training target, so a crop of nothing else teaches nothing.
            if not cropped.is_crowd.all() or segments.is_crowd.all():
                break
        if canvas is None:
            canvas = torch.empty((3, *self.size), dtype=torch.uint8)
        draw_image(image.permute(1, 2, 0).numpy(), window, canvas.numpy(), flip=flip)
        return canvas, cropped

    def _draw_window(self, original: tuple[int, int], generator: torch.Generator) -> Window:
        low, high = self.config.scale
        scale, *places = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        scale = low + (high - low) * scale
        ratio = scale * min(self.size[0] / original[0], self.size[1] / original[1])
        resized = [max(1, round(side * ratio)) for side in original]
        size = [min(a, b) for a, b in zip(resized, self.size, strict=True)]
        offset = [
            int(place * (a - b + 1)) for place, a, b in zip(places, resized, size, strict=True)
        ]
        return Window((resized[0], resized[1]), (offset[0], offset[1]), (size[0], size[1]))

    def _jitter_colours(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """On the whole image, as the authors do: contrast is around the mean of all of it."""
        config = self.config
        if not (config.brightness or config.contrast or config.saturation or config.hue):
            return image
        switches = (torch.rand(4, generator=generator) < config.colour).tolist()
        *draws, order = (torch.rand(5, generator=generator) * 2 - 1).tolist()
        steps = [
            ("brightness", config.brightness, colour_ops.adjust_brightness),
            ("saturation", config.saturation, colour_ops.adjust_saturation),
            ("hue", config.hue, colour_ops.adjust_hue),
        ]
        # Contrast comes before or after the changes of colour, as in SSD.
        contrast = ("contrast", config.contrast, colour_ops.adjust_contrast)
        steps.insert(1 if order < 0 else 3, contrast)
        for (name, strength, adjust), on, draw in zip(steps, switches, draws, strict=True):
            if on and strength:
                image = adjust(image, draw * strength + (0.0 if name == "hue" else 1.0))
        return image


class EvalTransform:
    """Fits an image into a canvas, its aspect ratio kept.

    Args:
        canvas: height and width of the result.
    """

    def __init__(self, canvas: tuple[int, int]) -> None:
        self.canvas = (int(canvas[0]), int(canvas[1]))

    def fit(self, image: Tensor) -> Tensor:
        """Resizes ``[3, H, W]`` to ``fitted_size`` and pads it with 0 at the bottom and right."""
        height, width = fitted_size(image.shape[-2:], self.canvas)
        resized = resize_image(image, (height, width))
        return F.pad(resized, (0, self.canvas[1] - width, 0, self.canvas[0] - height)).contiguous()


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """``[3, H, W]`` uint8 → ``[3, *size]``, bilinear with antialiasing."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    source = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
    resized = source.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def resize_segments(
    segments: SegmentMap,
    window: Window,
    *,
    size: tuple[int, int] | None = None,
    flip: bool = False,
    only_shown: bool = False,
) -> SegmentMap:
    """The window of a segment map, from the nearest pixels.

    Args:
        segments: the whole map.
        window: what to show of it.
        size: what to pad the window to, with void at the bottom and right; None for no padding.
        flip: whether the window is shown with left and right exchanged.
        only_shown: whether to drop the segments that do not show and renumber the rest, order kept.
    """
    rows, columns = nearest(window, segments.size, flip=flip)
    # NumPy, since for arrays as small as the labels PyTorch's calls cost more than their work.
    ids = segments.ids.numpy()[:, rows[:, None], columns]
    labels, is_crowd = segments.labels.numpy(), segments.is_crowd.numpy()
    if ids.size and not VOID <= ids.min() <= ids.max() < len(labels):
        raise DataError(
            f"a segment map holds ids from {ids.min()} to {ids.max()}, but {len(labels)} labels; "
            "ids are -1 for void, else positions in the labels. Mend the data set's read()."
        )
    shown = np.bincount(ids.ravel() - VOID, minlength=len(labels) + 1)[1:] > 0
    if only_shown and not shown.all():
        # Void wraps around to the last number.
        numbers = np.full(len(labels) + 1, VOID, ids.dtype)
        numbers[:-1][shown] = np.arange(np.count_nonzero(shown))
        ids, labels, is_crowd = numbers[ids], labels[shown], is_crowd[shown]
    canvas = np.full((len(ids), *(size or window.size)), VOID, ids.dtype)
    canvas[:, : len(rows), : len(columns)] = ids
    return SegmentMap(*(torch.from_numpy(array) for array in (canvas, labels, is_crowd)))
