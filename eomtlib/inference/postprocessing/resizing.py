"""From mask logits to the pixels of an image, and the check that predictions fit together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.predictions import MaskLogits
from eomtlib.core.structures import fitted_size

_NUMBERS = 2**26
"""Of pixels of all maps that are worked on at a time: a quarter of a GiB in float32."""

_ON_CPU, _IN_CACHES = 8, 2**22
"""Maps and numbers of a tile that stays in the caches of a CPU."""


def checked_masks(
    mask_logits: Tensor | MaskLogits,
    class_logits: Tensor,
    *,
    expected: int,
    counted: str = "target_sizes",
) -> MaskLogits:
    """The masks of predictions that fit together.

    Args:
        mask_logits: ``[B, Q, h, w]``.
        class_logits: ``[B, Q, classes + 1]``.
        expected: that B must be.
        counted: what that is the number of, for the error.

    Raises:
        ConfigurationError: when numbers of images or queries do not fit together.
    """
    masks = MaskLogits(mask_logits) if isinstance(mask_logits, Tensor) else mask_logits
    count, num_queries = masks.shape[:2]
    if not count == len(class_logits) == expected:
        raise ConfigurationError(
            f"there are mask_logits of {count}, class_logits of {len(class_logits)}, but "
            f"{expected} {counted}; give all for the same images."
        )
    if num_queries != class_logits.shape[1]:
        raise ConfigurationError(
            f"mask_logits has {num_queries} queries, class_logits {class_logits.shape[1]}; both "
            "must be of one layer of one model."
        )
    return masks


def resize_to_image(
    mask_logits: Tensor, *, target_size: tuple[int, int], input_size: tuple[int, int]
) -> Tensor:
    """Resizes mask logits to the canvas, cuts the padding off, and resizes to the image.

    Both steps are bilinear and act on logits, as in EoMT's evaluation; one step from the small map
    to the image would give other values.

    Args:
        mask_logits: ``[K, h, w]``, K at least 1.
        target_size: height and width of the image, as it was before it was fitted.
        input_size: height and width of the canvas.

    Returns:
        ``[K, *target_size]``.
    """
    cut = _cut_to_image(mask_logits, target_size=target_size, input_size=input_size)
    return resize(cut, target_size)


def _cut_to_image(
    mask_logits: Tensor, *, target_size: tuple[int, int], input_size: tuple[int, int]
) -> Tensor:
    """The first step of ``resize_to_image``: ``[K, *structures.fitted_size]``."""
    fitted = fitted_size(target_size, input_size)
    return resize(mask_logits, input_size)[:, : fitted[0], : fitted[1]]


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """``[K, h, w]`` → ``[K, *size]``, bilinear without antialiasing."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps[None], size=tuple(size), mode="bilinear", align_corners=False)[0]


def maps_at_once(maps: Tensor, size: tuple[int, int]) -> int:
    """Of ``[K, h, w]`` how many, at the image's size, are worked on at a time: a quarter of a GiB.

    On CPUs at most 8, which take half the time that all together take.
    """
    most = _ON_CPU if maps.device.type == "cpu" else _NUMBERS
    return max(1, min(most, _NUMBERS // (size[0] * size[1])))


def resized_in_tiles(
    maps: Tensor, size: tuple[int, int], *, canvas: tuple[int, int] | None = None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Resized maps by some maps and some columns of these at a time, on CPUs the same to the bit.

    Columns, as PyTorch resizes a row before it mixes two of them: made whole, it can be cut.

    Args:
        maps: ``[K, h, w]``.
        size: height and width of the image.
        canvas: of the model where it is mask logits that are resized, as ``resize_to_image`` does;
            else it is ``resize``.

    Yields:
        The maps and the columns that a tile is of, and the tile, ``[maps, height, columns]``.
    """
    height, width = size
    on_cpu = maps.device.type == "cpu"
    at_once = min(len(maps), _ON_CPU if on_cpu else maps_at_once(maps, size))
    most = max(1, (_IN_CACHES if on_cpu else _NUMBERS) // (at_once * height))
    for first in range(0, len(maps), at_once):
        own = slice(first, first + at_once)
        part = maps[own]
        if canvas is not None:
            part = _cut_to_image(part, target_size=size, input_size=canvas)
        if most >= width:
            yield own, slice(0, width), resize(part, size)
            continue
        # On one thread PyTorch takes three maps for colours, and mixes them otherwise.
        part = resize(part, size if len(part) == 3 else (part.shape[1], width))
        for left in range(0, width, most):
            columns = slice(left, min(left + most, width))
            yield own, columns, resize(part[:, :, columns], (height, columns.stop - left))


def number_type(count: int) -> torch.dtype:
    """The smallest type of the numbers below ``count``, 32,767 at most."""
    return torch.uint8 if count <= 256 else torch.int16


def pixel_counts(masks: Tensor) -> Tensor:
    """``[K, H, W]`` bool → ``[K]`` int32."""
    return masks.flatten(1).sum(dim=1, dtype=torch.int32)
