"""Masks looked at in a few points: predictions and targets, without a stack of boolean masks.

Mask2Former (Cheng et al., CVPR 2022, Section 3.2.3) computes its mask losses in sampled points,
chosen as in PointRend (Kirillov et al., CVPR 2020, Section 3.1). Points are ``(x, y)`` in [0, 1],
(0, 0) being the top left corner of the image.

A bilinear sample of a boolean mask is the sum of the weights of those of the four neighbouring
pixels that belong to the mask. So a target is sampled straight from its integer map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from eomtlib.core.errors import DataError
from eomtlib.core.structures import VOID, SegmentMap


def sample_mask_logits(mask_logits: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples of masks, each in points of its own; what lies outside counts as 0.

    Args:
        mask_logits: ``[N, h, w]``.
        points: ``[N, P, 2]``.

    Returns:
        ``[N, P]``.
    """
    return sample_features(mask_logits[:, None], points)[..., 0]


def sample_features(features: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples of all channels of an image in points that they share.

    Args:
        features: ``[N, C, h, w]``.
        points: ``[N, P, 2]``.

    Returns:
        ``[N, P, C]``.
    """
    grid = 2 * points[:, None] - 1
    return F.grid_sample(features, grid, align_corners=False)[:, :, 0].transpose(1, 2)


def stack_maps(targets: Sequence[SegmentMap]) -> Tensor:
    """The maps of a batch as one tensor ``[B, K, H + 2, W + 2]``, the form that sampling reads.

    A border of void is put around, so that every point has four neighbours; layers that an image
    lacks are void.

    Raises:
        DataError: when the maps differ in height or width.
    """
    sizes = {target.size for target in targets}
    if len(sizes) > 1:
        raise DataError(
            f"The targets of one batch have {len(sizes)} sizes, such as {sorted(sizes)[:2]}; "
            "crop or pad the samples to one size."
        )
    height, width = sizes.pop()
    num_layers = max(target.ids.shape[0] for target in targets)
    maps = targets[0].ids.new_full((len(targets), num_layers, height + 2, width + 2), VOID)
    for bordered, target in zip(maps, targets, strict=True):
        bordered[: target.ids.shape[0], 1:-1, 1:-1] = target.ids
    return maps


def sample_segments(maps: Tensor, points: Tensor, *, images: Tensor, segments: Tensor) -> Tensor:
    """Samples chosen segments, each in points of its own.

    Equals ``grid_sample`` (bilinear, zero padding, ``align_corners=False``) on each segment's mask,
    up to the rounding of coordinates in float32: 1e-6 on small maps, 3e-5 at 640 pixels.

    Args:
        maps: as ``stack_maps`` returns them.
        points: ``[M, P, 2]``.
        images: ``[M]`` int64, the image of each chosen segment.
        segments: ``[M]`` int64, its index in that image.

    Returns:
        ``[M, P]`` float32 in [0, 1].
    """
    num_layers, height, width = maps.shape[1:]
    # To [−1, 1] and back, as the coordinates of ``grid_sample`` go, so that both round alike.
    x, y = (2 * points - 1).add_(1).unbind(-1)
    x, y = x * ((width - 2) / 2) - 0.5, y * ((height - 2) / 2) - 0.5
    column, row = x.floor(), y.floor()
    right, down = x - column, y - row
    # The upper left neighbour's place in the maps laid end to end, beyond the border of void.
    start = (row.long() + 1) * width + column.long() + 1
    start += images[:, None] * (num_layers * height * width)
    segments = segments.to(maps.dtype)[:, None]
    samples = torch.zeros_like(x)
    for layer in range(num_layers):
        place = start + layer * height * width
        corners = [
            (maps.take(place + shift) == segments).float() for shift in (0, 1, width, width + 1)
        ]
        above = torch.lerp(corners[0], corners[1], right)
        below = torch.lerp(corners[2], corners[3], right)
        # A segment lives in one layer, so the layers' samples add up.
        samples += torch.lerp(above, below, down)
    return samples
