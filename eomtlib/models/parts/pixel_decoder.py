"""What stands between the feature maps and the queries: a pixel decoder, or a mere projection.

Mask2Former (Cheng et al., CVPR 2022, Section 3.2): deformable attention mixes the three coarser
scales, and the finest one becomes the mask features. EoMT (Kerssies et al., CVPR 2025, Section 3.1)
removes it and hands the maps on as they are, projected to the decoder's width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eomtlib.models.parts.deformable_attention import (
    DeformableAttention,
    Shapes,
    grid_centres,
    level_maps,
)


@dataclass(frozen=True)
class PixelDecoderConfig:
    """Widths and depths of the pixel decoder; the defaults are Mask2Former's.

    Attributes:
        dim: width of all its maps, 256; a multiple of 4 and of ``num_groups``.
        num_layers: deformable layers.
        num_heads: of a deformable layer.
        num_points: sampled per head and level.
        ffn_dim: hidden width of a layer's feed-forward network.
        num_groups: of the group norms.
    """

    dim: int = 256
    num_layers: int = 6
    num_heads: int = 8
    num_points: int = 4
    ffn_dim: int = 1024
    num_groups: int = 32


def sine_positions(
    shape: tuple[int, int], dim: int, *, device: torch.device | str | None = None
) -> Tensor:
    """Sine position embeddings of a map's cells (DETR, Carion et al., ECCV 2020, Appendix A.4).

    Coordinates run from 1/n to 1 along a side of n cells, times 2π; half of the channels belong to
    y and half to x, sines and cosines alternate, and wavelengths grow geometrically to 10,000 · 2π.

    Args:
        shape: rows and columns.
        dim: channels, a multiple of 4.
        device: to create them on.

    Returns:
        ``[1, rows * columns, dim]`` float32.
    """
    quarter = torch.arange(dim // 4, device=device, dtype=torch.float32)
    frequencies = 10_000 ** (-4 * quarter / dim)
    waves = []
    for size in shape:
        cells = torch.arange(1, size + 1, device=device, dtype=torch.float32)
        angles = (2 * math.pi / (size + 1e-6)) * cells[:, None] * frequencies
        waves.append(torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1))
    y = waves[0][:, None].expand(-1, shape[1], -1)
    x = waves[1][None].expand(shape[0], -1, -1)
    return torch.cat((y, x), dim=-1).flatten(0, 1)[None]


def projection(in_channels: int, config: PixelDecoderConfig, *, bias: bool = True) -> nn.Sequential:
    """1×1 convolution to the decoder's width, and a group norm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, config.dim, kernel_size=1, bias=bias),
        nn.GroupNorm(config.num_groups, config.dim),
    )


class DeformableLayer(nn.Module):
    """Deformable self-attention and a ReLU feed-forward network, each followed by a LayerNorm."""

    def __init__(self, config: PixelDecoderConfig, num_levels: int) -> None:
        super().__init__()
        self.attention = DeformableAttention(
            config.dim,
            num_heads=config.num_heads,
            num_levels=num_levels,
            num_points=config.num_points,
        )
        self.attention_norm = nn.LayerNorm(config.dim)
        self.fc1 = nn.Linear(config.dim, config.ffn_dim)
        self.fc2 = nn.Linear(config.ffn_dim, config.dim)
        self.ffn_norm = nn.LayerNorm(config.dim)

    def forward(self, x: Tensor, positions: Tensor, references: Tensor, shapes: Shapes) -> Tensor:
        """``[B, N, dim]`` → ``[B, N, dim]``."""
        attended = self.attention(x + positions, references, x, shapes)
        x = self.attention_norm(x + attended)
        return self.ffn_norm(x + self.fc2(F.relu(self.fc1(x))))


class PixelDecoder(nn.Module):
    """Mask2Former's deformable-attention pixel decoder, in the form that transformers has it.

    Args:
        in_channels: of each of the feature maps.
        config: widths and depths.
        num_scales: maps that are mixed and handed to the decoder: all but the finest.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        config: PixelDecoderConfig = PixelDecoderConfig(),
        num_scales: int = 3,
    ) -> None:
        super().__init__()
        self.dim = config.dim
        self.projections = nn.ModuleList(projection(in_channels, config) for _ in range(num_scales))
        self.level_embed = nn.Parameter(torch.randn(num_scales, config.dim))
        self.layers = nn.ModuleList(
            DeformableLayer(config, num_scales) for _ in range(config.num_layers)
        )
        self.lateral = projection(in_channels, config, bias=False)
        self.output = nn.Sequential(
            nn.Conv2d(config.dim, config.dim, kernel_size=3, padding=1, bias=False),
            nn.GroupNorm(config.num_groups, config.dim),
            nn.ReLU(),
        )
        self.mask_projection = nn.Conv2d(config.dim, config.dim, kernel_size=1)

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Mixes the scales.

        Args:
            maps: ``[B, in_channels, h, w]``, finest first.

        Returns:
            Mask features ``[B, dim, h, w]`` at the finest scale, and the other scales
            ``[B, dim, h, w]``, coarsest first.
        """
        finest, *others = maps
        projected = [
            project(x) for project, x in zip(self.projections, reversed(others), strict=True)
        ]
        shapes = tuple((x.shape[2], x.shape[3]) for x in projected)
        device = finest.device
        positions = torch.cat(
            [
                sine_positions(shape, self.dim, device=device) + level
                for shape, level in zip(shapes, self.level_embed, strict=True)
            ],
            dim=1,
        )
        references = grid_centres(shapes, device=device)
        x = torch.cat([x.flatten(2) for x in projected], dim=2).transpose(1, 2)
        positions = positions.to(x.dtype)
        for layer in self.layers:
            x = layer(x, positions, references, shapes)
        scales = level_maps(x, shapes)
        lateral = self.lateral(finest)
        upscaled = F.interpolate(scales[-1], size=lateral.shape[-2:], mode="bilinear")
        return self.mask_projection(self.output(lateral + upscaled)), scales


class FeatureProjection(nn.Module):
    """No pixel decoder: each map on its own, by a 1×1 convolution and a group norm.

    The finest map, so projected, is the mask features; there is no further layer. This arrangement
    gives the paper's 337 M and 685 GMACs for ``no-pixel-decoder`` at ViT-L.

    Args:
        in_channels: of each of the feature maps.
        config: width and groups; the rest is not used.
        num_scales: maps that are handed to the decoder: all but the finest; 1 for a single-scale
            model.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        config: PixelDecoderConfig = PixelDecoderConfig(),
        num_scales: int = 3,
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            projection(in_channels, config) for _ in range(num_scales + 1)
        )

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Projects the maps; takes and returns what ``PixelDecoder`` does."""
        projected = [project(x) for project, x in zip(self.projections, maps, strict=True)]
        return projected[0], tuple(reversed(projected[1:]))
