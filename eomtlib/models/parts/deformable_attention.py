"""Multi-scale deformable attention: each query looks at a few points that it chooses itself.

Deformable DETR (Zhu et al., ICLR 2021, Section 4.1). In plain PyTorch, so that it runs, trains and
compiles wherever PyTorch does; ``set_sampler`` puts a Triton kernel in its place. The shapes of the
levels are Python tuples: nothing waits for the device, and nothing depends on a tensor's value.
"""

from __future__ import annotations

import math
import os
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.words import SAMPLERS

Shapes = tuple[tuple[int, int], ...]
"""Rows and columns of each level."""

MACS_PER_SAMPLE = 5
"""Multiply-accumulates per sampled point and channel: four neighbours, one attention weight."""


def grid_centres(shapes: Shapes, *, device: torch.device | str | None = None) -> Tensor:
    """The centres of all cells of some grids, in relative coordinates.

    Args:
        shapes: rows and columns of each grid.
        device: to create them on.

    Returns:
        ``[1, sum of rows * columns, 1, 2]`` float32 in [0, 1], x before y: the reference points of
        queries that stand on these grids, the same for every level that they look at.
    """
    grids = []
    for rows, columns in shapes:
        y = (torch.arange(rows, device=device, dtype=torch.float32) + 0.5) / rows
        x = (torch.arange(columns, device=device, dtype=torch.float32) + 0.5) / columns
        y, x = torch.meshgrid(y, x, indexing="ij")
        grids.append(torch.stack((x, y), dim=-1).flatten(0, 1))
    return torch.cat(grids)[None, :, None]


def level_maps(tokens: Tensor, shapes: Shapes) -> tuple[Tensor, ...]:
    """``[B, N, C]``, the levels one after the other, row by row → each level's ``[B, C, h, w]``."""
    levels = tokens.transpose(1, 2).split([rows * columns for rows, columns in shapes], dim=2)
    return tuple(level.unflatten(2, shape) for level, shape in zip(levels, shapes, strict=True))


def deformable_sample(value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of bilinear samples, over points and levels.

    Outside a level the value is 0. One ``grid_sample`` per level, summed as it goes: of the plain
    formulations, the others being stacked levels, ``embedding_bag`` over gathered corners and a
    dense attention matrix, the one that trains fastest on a CPU at small images, and within a few
    per cent of the fastest at 640 pixels (where ``embedding_bag`` is ahead in the forward pass).

    Args:
        value: ``[B, Lin, heads, channels]``, the levels one after the other, row by row.
        shapes: rows and columns of each level; their products add up to Lin.
        locations: ``[B, Lq, heads, levels, points, 2]``, x before y, 0 and 1 at a level's borders.
        weights: ``[B, Lq, heads, levels, points]``.

    Returns:
        ``[B, Lq, heads * channels]`` in the dtype of ``value``. Samples are computed in the dtype
        of ``locations``: half precision would shift them by whole cells of a large level.
    """
    batch, _, heads, _ = value.shape
    dtype = locations.dtype
    levels = value.to(dtype).permute(0, 2, 3, 1).flatten(0, 1)
    levels = levels.split([rows * columns for rows, columns in shapes], dim=-1)
    grids = (2 * locations - 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 1)
    weights = weights.to(dtype).permute(0, 2, 3, 1, 4).flatten(0, 1)
    total = None
    for index, (level, shape) in enumerate(zip(levels, shapes, strict=True)):
        samples = F.grid_sample(level.unflatten(-1, shape), grids[:, index], align_corners=False)
        attended = (samples * weights[:, index, None]).sum(dim=-1)
        total = attended if total is None else total + attended
    return total.unflatten(0, (batch, heads)).flatten(1, 2).transpose(1, 2).to(value.dtype)


class DeformableAttention(nn.Module):
    """Multi-scale deformable attention with learned offsets and weights.

    Args:
        embed_dim: width D of queries and features.
        num_heads: attention heads.
        num_levels: levels that a query looks at.
        num_points: points per head and level.
        value_ratio: width of the values, relative to D (ViT-Adapter's "deform ratio").
    """

    def __init__(
        self,
        embed_dim: int,
        *,
        num_heads: int,
        num_levels: int,
        num_points: int,
        value_ratio: float = 1.0,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points
        self.value_dim = int(embed_dim * value_ratio)
        num_samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(embed_dim, 2 * num_samples)
        self.attention_weights = nn.Linear(embed_dim, num_samples)
        self.value_proj = nn.Linear(embed_dim, self.value_dim)
        self.output_proj = nn.Linear(self.value_dim, embed_dim)
        self.sampler = "pytorch"
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Deformable DETR's start: head h looks in its own direction, point k at distance k + 1."""
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        directions = torch.stack((angles.cos(), angles.sin()), dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        distances = torch.arange(1, self.num_points + 1).view(1, 1, -1, 1)
        offsets = directions.view(-1, 1, 1, 2) * distances
        offsets = offsets.expand(-1, self.num_levels, -1, -1).flatten()
        self.sampling_offsets.bias.copy_(offsets)
        for zeroed in (
            self.sampling_offsets.weight,
            self.attention_weights.weight,
            self.attention_weights.bias,
            self.value_proj.bias,
            self.output_proj.bias,
        ):
            nn.init.zeros_(zeroed)
        nn.init.xavier_uniform_(self.value_proj.weight)
        nn.init.xavier_uniform_(self.output_proj.weight)

    def sampling_macs(self, num_queries: int, batch: int = 1) -> int:
        """Multiply-accumulates of the sampling alone, which operator counters do not see."""
        samples = batch * num_queries * self.num_levels * self.num_points
        return MACS_PER_SAMPLE * samples * self.value_dim

    def forward(
        self, query: Tensor, reference_points: Tensor, feature: Tensor, spatial_shapes: Shapes
    ) -> Tensor:
        """Lets queries attend to the points that they choose around their reference points.

        Args:
            query: ``[B, Lq, D]``.
            reference_points: ``[B or 1, Lq, levels or 1, 2]``, x before y, in [0, 1].
            feature: ``[B, Lin, D]``, the levels one after the other, row by row.
            spatial_shapes: rows and columns of each level.

        Returns:
            ``[B, Lq, D]``.
        """
        heads, levels, points = self.num_heads, self.num_levels, self.num_points
        value = self.value_proj(feature).unflatten(-1, (heads, -1))
        offsets = self.sampling_offsets(query).unflatten(-1, (heads, levels, points, 2))
        weights = self.attention_weights(query).unflatten(-1, (heads, levels * points))
        weights = weights.softmax(dim=-1).unflatten(-1, (levels, points))
        # Filled on the device: a tensor made from a list would be copied there, and waited for.
        sizes = [
            reference_points.new_full((1,), size)
            for rows, columns in spatial_shapes
            for size in (columns, rows)
        ]
        cells = torch.cat(sizes).view(levels, 1, 2)
        locations = reference_points[:, :, None, :, None] + offsets / cells
        if self.sampler == "pytorch":
            return self.output_proj(deformable_sample(value, spatial_shapes, locations, weights))
        # Here, because importing Triton takes a second that few need.
        from eomtlib.models.parts.deformable_kernel import deformable_sample_kernel

        sides = [side for shape in spatial_shapes for side in shape]
        sampled = deformable_sample_kernel(value, sides, locations.float(), weights.float())
        return self.output_proj(sampled.flatten(2))


def available_samplers(device: torch.device | str) -> tuple[str, ...]:
    """Those of ``SAMPLERS`` that a model on this device can use."""
    # Interpreted kernels, for tests, run on a CPU.
    runs = torch.device(device).type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"
    return SAMPLERS if runs and find_spec("triton") else ("pytorch",)


def check_sampler(sampler: str, device: torch.device | str, *, parameter: str = "sampler") -> str:
    """Returns ``sampler`` if a model on this device can use it.

    Args:
        sampler: one of ``SAMPLERS``.
        device: that the model is, or will be, on.
        parameter: that a message names.

    Raises:
        ConfigurationError: for an unknown name, or ``triton`` where it is not installed or the
            device is no GPU.
    """
    check_choice(parameter, sampler, SAMPLERS)
    if sampler not in available_samplers(device):
        # PyTorch brings Triton along only where there can be a GPU.
        lacking = "the package triton, which is not installed"
        if find_spec("triton"):
            lacking = f"a GPU, and the model is on {device}"
        raise ConfigurationError(f"{parameter}={sampler!r} needs {lacking}. Use 'pytorch'.")
    return sampler


def set_sampler(
    model: nn.Module, sampler: str, *, device: torch.device | str | None = None
) -> None:
    """Chooses how all deformable attention of a model samples its points.

    Args:
        model: any module; without deformable attention nothing changes.
        sampler: one of ``SAMPLERS``: ``pytorch`` runs everywhere; ``triton`` is one kernel, for
            GPUs.
        device: that the model will be moved to; by default the one that it is on.

    Raises:
        ConfigurationError: as ``check_sampler`` raises it.
    """
    check_choice("sampler", sampler, SAMPLERS)
    for module in model.modules():
        if isinstance(module, DeformableAttention):
            where = device or module.output_proj.weight.device
            module.sampler = check_sampler(sampler, where)
