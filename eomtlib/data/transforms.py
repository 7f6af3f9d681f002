"""Augmentation and resizing of an image together with its segment map.

Image and map go through one mapping of pixel centres: output pixel i shows the source position
(offset + i + 0.5) · scale − 0.5, read bilinearly with antialiasing from the image and from the
nearest pixel of the map. Only what a crop shows is resized. Every draw comes from the generator
that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as colour_ops

from eomtlib.hyperparameters import AugmentationConfig
from eomtlib.structures import VOID, SegmentMap, fitted_size


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


class TrainTransform:
    """Flip, scale jitter, pad, random crop and colour jitter to images of one size.

    Args:
        size: height and width of the result.
        config: what is drawn.
    """

    def __init__(self, size: tuple[int, int], config: AugmentationConfig | None = None) -> None:
        self.size = (int(size[0]), int(size[1]))
        self.config = config or AugmentationConfig()

    def __call__(
        self, image: Tensor, segments: SegmentMap, generator: torch.Generator
    ) -> tuple[Tensor, SegmentMap]:
        """Augments one image.

        Args:
            image: ``[3, H, W]`` uint8.
            segments: of the same size.
            generator: on the CPU; the result is a function of its state.

        Returns:
            The image ``[3, *size]``, padded with 0 at the bottom and right, and its segments,
            padded with void. Segments that the crop does not show are gone and the rest
            renumbered; none may be left.
        """
        flip = torch.rand((), generator=generator).item() < self.config.flip
        for _ in range(self.config.crop_attempts):
            window = self._draw_window(segments.size, generator)
            cropped = keep_visible(resize_segments(segments, window))
            # Crowds are no training target, so a crop of nothing else teaches nothing.
            if not cropped.is_crowd.all():
                break
        shown = resize_image(image, window)
        if flip:
            shown, cropped = flip_horizontally(shown, cropped)
        shown = self._jitter_colours(shown, generator)
        return pad(shown, cropped, self.size)

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
    """Fits an image into a canvas, its aspect ratio kept; segments stay at the original size.

    Args:
        canvas: height and width of the result.
    """

    def __init__(self, canvas: tuple[int, int]) -> None:
        self.canvas = (int(canvas[0]), int(canvas[1]))

    def __call__(self, image: Tensor, segments: SegmentMap) -> tuple[Tensor, SegmentMap]:
        """Resizes ``[3, H, W]`` to ``fitted_size`` and pads it with 0 at the bottom and right."""
        return self.fit(image), segments

    def fit(self, image: Tensor) -> Tensor:
        """The image alone, ``[3, H, W]`` → ``[3, *canvas]``."""
        fitted = fitted_size(image.shape[-2:], self.canvas)
        resized = resize_image(image, Window(fitted, (0, 0), fitted))
        return _pad_image(resized, self.canvas)


def resize_image(image: Tensor, window: Window) -> Tensor:
    """The window of ``[3, H, W]`` uint8, bilinear with antialiasing."""
    height, width = image.shape[-2:]
    if window == Window((height, width), (0, 0), (height, width)):
        return image
    scale_y, scale_x = height / window.resized[0], width / window.resized[1]
    top, left = window.offset
    rows, columns = window.size
    # Pillow takes a fractional source box, so it resizes the part that is seen and no more.
    box = (
        left * scale_x,
        top * scale_y,
        min(width, (left + columns) * scale_x),
        min(height, (top + rows) * scale_y),
    )
    source = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
    resized = source.resize((columns, rows), Image.Resampling.BILINEAR, box=box)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def resize_segments(segments: SegmentMap, window: Window) -> SegmentMap:
    """The window of a segment map, from the nearest pixels."""
    places = []
    for side, resized, offset, size in zip(
        segments.size, window.resized, window.offset, window.size, strict=True
    ):
        centres = (torch.arange(size, dtype=torch.float64) + (offset + 0.5)) * (side / resized)
        places.append(centres.long().clamp_(max=side - 1))
    ids = segments.ids.index_select(1, places[0]).index_select(2, places[1])
    return SegmentMap(ids, segments.labels, segments.is_crowd)


def keep_visible(segments: SegmentMap) -> SegmentMap:
    """Drops the segments that do not show in the map and renumbers the rest, order kept."""
    # Void is counted at 0 and so stays void below.
    shifted = segments.ids.reshape(-1).int() + 1
    shows = torch.bincount(shifted, minlength=segments.num_segments + 1)[1:] > 0
    if shows.all():
        return segments
    numbers = torch.full((segments.num_segments + 1,), VOID, dtype=segments.ids.dtype)
    numbers[1:][shows] = torch.arange(int(shows.sum()), dtype=segments.ids.dtype)
    ids = numbers.index_select(0, shifted).view_as(segments.ids)
    return SegmentMap(ids, segments.labels[shows], segments.is_crowd[shows])


def flip_horizontally(image: Tensor, segments: SegmentMap) -> tuple[Tensor, SegmentMap]:
    """Mirrors left and right."""
    flipped = SegmentMap(segments.ids.flip(-1), segments.labels, segments.is_crowd)
    return image.flip(-1), flipped


def pad(image: Tensor, segments: SegmentMap, size: tuple[int, int]) -> tuple[Tensor, SegmentMap]:
    """Pads image and map at the bottom and right, with 0 and void."""
    height, width = segments.size
    ids = segments.ids
    if (height, width) != size:
        ids = segments.ids.new_full((ids.shape[0], *size), VOID)
        ids[:, :height, :width] = segments.ids
    return _pad_image(image, size), SegmentMap(ids, segments.labels, segments.is_crowd)


def _pad_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = image.shape[-2:]
    if (height, width) == size:
        return image.contiguous()
    canvas = image.new_zeros((3, *size))
    canvas[:, :height, :width] = image
    return canvas
