"""Masks looked at in a few points: predictions and targets, without a stack of boolean masks.

Mask2Former (Cheng et al., CVPR 2022, Section 3.2.3) computes its mask losses in sampled points,
chosen as in PointRend (Kirillov et al., CVPR 2020, Section 3.1). Points are ``(x, y)`` in [0, 1],
(0, 0) being the top left corner of the image.

A bilinear sample of a boolean mask is the sum of the weights of those of the four neighbouring
pixels that belong to the mask. So a target is sampled straight from its integer map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from eomtlib.core.errors import DataError
from eomtlib.core.structures import VOID, SegmentMap


def sample_mask_logits(mask_logits: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples; what lies outside the mask counts as 0.

    Args:
        mask_logits: ``[N, h, w]``.
        points: ``[N, P, 2]``.

    Returns:
        ``[N, P]``.
    """
    grid = 2 * points[:, None] - 1
    return F.grid_sample(mask_logits[:, None], grid, align_corners=False)[:, 0, 0]


@dataclass(frozen=True)
class Neighbours:
    """The four pixels around each point of N maps of one size.

    Attributes:
        pixels: ``[N, P, 4]`` int64, positions in the N maps laid end to end.
        weights: ``[N, P, 4]``, bilinear; 0 for a pixel that lies outside.
    """

    pixels: Tensor
    weights: Tensor


def bilinear_neighbours(points: Tensor, size: tuple[int, int]) -> Neighbours:
    """The neighbours of ``[N, P, 2]`` points in maps of ``size`` (height, width)."""
    height, width = size
    low, after = _cells(points, size)
    column, row = low.unbind(-1)
    right, down = after.unbind(-1)
    start = torch.arange(len(points), device=points.device)[:, None] * (height * width)
    pixels, weights = [], []
    # Numbers of Python's alone: a tensor made from a list would be copied to a GPU, and waited for.
    for y, share_y in ((row, 1 - down), (row + 1, down)):
        for x, share_x in ((column, 1 - right), (column + 1, right)):
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            pixels.append((y * width + x).where(inside, 0) + start)
            weights.append(share_x * share_y * inside)
    return Neighbours(torch.stack(pixels, -1), torch.stack(weights, -1))


def in_pixel_order(points: Tensor, size: tuple[int, int]) -> Tensor:
    """``[N, P, 2]`` points, each set ordered by the pixels of a map of ``size`` that they lie in.

    Neighbours in a map are then read while they are in the cache.
    """
    column, row = _cells(points, size)[0].unbind(-1)
    order = (row * size[1] + column).argsort(dim=1)
    return points.gather(1, order[..., None].expand(-1, -1, 2))


def sample_features(features: Tensor, neighbours: Neighbours) -> Tensor:
    """Bilinear samples of all channels of an image in points that they share.

    A weighted sum of four rows for each point, one column for each channel: many times as fast as
    ``grid_sample``, whose values it gives, where the features lie channels-last, as our models make
    them. No gradient is kept.

    Args:
        features: ``[N, C, h, w]``, float32.
        neighbours: of N sets of P points, for maps of that height and width.

    Returns:
        ``[N, P, C]``.
    """
    table = features.detach().permute(0, 2, 3, 1).flatten(0, 2).contiguous()
    samples = F.embedding_bag(
        neighbours.pixels.flatten(0, 1),
        table,
        per_sample_weights=neighbours.weights.flatten(0, 1),
        mode="sum",
    )
    return samples.unflatten(0, neighbours.pixels.shape[:2])


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


def sample_all_segments(maps: Tensor, points: Tensor, num_segments: int) -> Tensor:
    """Samples every segment of each image in that image's points, by scattering the weights.

    Equals ``grid_sample`` (bilinear, zero padding, ``align_corners=False``) on each segment's mask,
    up to the rounding of coordinates in float32: 1e-6 on small maps, 3e-5 at 640 pixels.

    Args:
        maps: as ``stack_maps`` returns them, of B images; values below ``num_segments``.
        points: ``[B, P, 2]``.
        num_segments: S, the largest number of segments of an image.

    Returns:
        ``[B, S, P]`` float32 in [0, 1].
    """
    images = torch.arange(len(maps), device=maps.device)
    start, right, down = _locate(maps, points, images)
    weights = ((1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right)
    # Row 0 collects the void.
    samples = right.new_zeros(len(maps), num_segments + 1, points.shape[1])
    for layer in range(maps.shape[1]):
        for ids, weight in zip(_neighbours(maps, start, layer), weights, strict=True):
            samples.scatter_add_(1, ids.long().add_(1)[:, None], weight[:, None])
    return samples[:, 1:]


def sample_segments(maps: Tensor, points: Tensor, *, images: Tensor, segments: Tensor) -> Tensor:
    """Samples chosen segments, each in points of its own; values as ``sample_all_segments``.

    Args:
        maps: as ``stack_maps`` returns them.
        points: ``[M, P, 2]``.
        images: ``[M]`` int64, the image of each chosen segment.
        segments: ``[M]`` int64, its index in that image.

    Returns:
        ``[M, P]`` float32 in [0, 1].
    """
    samples = points.new_zeros(points.shape[:2])
    segments = segments.to(maps.dtype)[:, None]
    rows_at_once = max(1, chunk_size(points.device) // points.shape[1])
    for first in range(0, len(points), rows_at_once):
        rows = slice(first, first + rows_at_once)
        start, right, down = _locate(maps, points[rows], images[rows])
        # A segment lives in one layer, so the layers' samples add up.
        for layer in range(maps.shape[1]):
            corners = [(ids == segments[rows]).float() for ids in _neighbours(maps, start, layer)]
            above = torch.lerp(corners[0], corners[1], right)
            below = torch.lerp(corners[2], corners[3], right)
            samples[rows] += torch.lerp(above, below, down)
    return samples


def _cells(points: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Column and row of the upper left neighbour, int64, and the way from there in pixels."""
    height, width = size
    # To [−1, 1] and back, as the coordinates of ``grid_sample`` go, so that both round alike.
    position = (2 * points - 1).add_(1)
    position[..., 0] *= width / 2
    position[..., 1] *= height / 2
    position -= 0.5
    low = position.floor()
    return low.long(), position.sub_(low)


def _locate(maps: Tensor, points: Tensor, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where ``[N, P, 2]`` points of N images lie in the maps.

    Returns:
        The flat position of the upper left neighbour in the first layer, and the way from there to
        the right and down as a fraction of a pixel; each ``[N, P]``.
    """
    num_layers, height, width = maps.shape[1:]
    low, after = _cells(points, (height - 2, width - 2))
    right, down = after.unbind(-1)
    column, row = low.add_(1).unbind(-1)
    start = row * width + column + images[:, None] * (num_layers * height * width)
    return start, right, down


def _neighbours(maps: Tensor, start: Tensor, layer: int) -> tuple[Tensor, ...]:
    """One layer's values around each position: upper left and right, lower left and right."""
    height, width = maps.shape[2:]
    flat = maps.flatten()[layer * height * width :]
    return tuple(
        flat[shift:].index_select(0, start.flatten()).view(start.shape)
        for shift in (0, 1, width, width + 1)
    )


def chunk_size(device: torch.device) -> int:
    """Elements of a temporary tensor that are worked on at once.

    On a CPU, what caches hold; on a GPU, enough to fill it, and still little memory.
    """
    return 2**18 if device.type == "cpu" else 2**24


def num_candidates(num_points: int, oversample_ratio: float) -> int:
    """How many points are drawn for each mask, to choose the uncertain ones from."""
    return int(num_points * oversample_ratio)


def num_uncertain(num_points: int, importance_sample_ratio: float) -> int:
    """How many of the points are chosen for their uncertainty; the rest are drawn uniformly."""
    return int(importance_sample_ratio * num_points)


def most_uncertain(mask_logits: Tensor, candidates: Tensor, count: int) -> Tensor:
    """The candidates in which the masks are least sure: where ``|logit|`` is smallest.

    Args:
        mask_logits: ``[M, h, w]``.
        candidates: ``[M, C, 2]``.
        count: how many of the C to keep.

    Returns:
        ``[M, count, 2]``, in no particular order.
    """
    certainty = sample_mask_logits(mask_logits, candidates).abs()
    chosen = certainty.topk(count, dim=1, largest=False, sorted=False).indices
    return candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
