"""From mask logits to the pixels of an image, and the check that predictions fit together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.predictions import MaskLogits
from eomtlib.core.structures import fitted_size


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
    fitted = fitted_size(target_size, input_size)
    logits = resize(mask_logits, input_size)[:, : fitted[0], : fitted[1]]
    return resize(logits, target_size)


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """``[K, h, w]`` → ``[K, *size]``, bilinear without antialiasing."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps[None], size=tuple(size), mode="bilinear", align_corners=False)[0]


def resized_in_parts(
    mask_logits: Tensor, *, target_size: tuple[int, int], input_size: tuple[int, int]
) -> Iterator[Tensor]:
    """``resize_to_image`` of as many masks as are worked on at full size at a time, in order.

    On CPUs 8, which stay in the caches: half the time that all together take. On GPUs more are
    faster, up to a quarter of a GiB for each number of a pixel.
    """
    pixels = target_size[0] * target_size[1]
    at_once = 8 if mask_logits.device.type == "cpu" else max(1, 2**26 // pixels)
    for part in mask_logits.split(at_once):
        yield resize_to_image(part, target_size=target_size, input_size=input_size)


def pixel_counts(masks: Tensor) -> Tensor:
    """``[K, H, W]`` bool → ``[K]`` int32."""
    return masks.flatten(1).sum(dim=1, dtype=torch.int32)
