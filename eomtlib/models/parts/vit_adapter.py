"""ViT-Adapter: a convolutional branch beside a plain ViT that gives it multi-scale features.

Chen et al., *Vision Transformer Adapter for Dense Predictions*, ICLR 2023, Section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eomtlib.models.encoders import Encoder
from eomtlib.models.parts.batch_norm import BatchNorm
from eomtlib.models.parts.deformable_attention import (
    DeformableAttention,
    Shapes,
    grid_centres,
    level_maps,
)
from eomtlib.models.parts.feature_pyramid import STRIDES


@dataclass(frozen=True)
class AdapterConfig:
    """Widths and depths of a ViT-Adapter; the defaults are the paper's.

    Attributes:
        stem_width: channels of the stem; its last scales have four times as many.
        num_interactions: how often the ViT and the pyramid exchange features.
        num_extra_extractors: extractors after the last interaction.
        num_points: sampled per head and level.
        value_ratio: width of the deformable attention's values, relative to the ViT's.
        ffn_ratio: hidden width of the convolutional feed-forward network, relative to the ViT's.
    """

    stem_width: int = 64
    num_interactions: int = 4
    num_extra_extractors: int = 2
    num_points: int = 4
    value_ratio: float = 0.5
    ffn_ratio: float = 0.25


def _conv_norm_relu(in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, BatchNorm(out_channels), nn.ReLU())


class SpatialPrior(nn.Module):
    """The convolutional stem (the paper's "spatial prior module"): four scales of width D.

    Args:
        embed_dim: D.
        width: of the first scale; the others have 2, 4 and 4 times as much before their projection.
    """

    def __init__(self, embed_dim: int, *, width: int) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 4 * width)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(
                    _conv_norm_relu(3, width, stride=2),
                    _conv_norm_relu(width, width, stride=1),
                    _conv_norm_relu(width, width, stride=1),
                    nn.MaxPool2d(3, stride=2, padding=1),
                ),
                *(_conv_norm_relu(widths[i], widths[i + 1], stride=2) for i in range(3)),
            ]
        )
        self.projections = nn.ModuleList(nn.Conv2d(w, embed_dim, kernel_size=1) for w in widths)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """``[B, 3, H, W]`` normalised images → four maps ``[B, D, h, w]``, finest first."""
        maps = []
        x = images
        for stage, project in zip(self.stages, self.projections, strict=True):
            x = stage(x)
            maps.append(project(x))
        return tuple(maps)


class ConvFFN(nn.Module):
    """Linear, depthwise 3×3 convolution over each level, GELU, linear.

    Args:
        embed_dim: width D of the tokens.
        hidden_dim: width in between.
    """

    def __init__(self, embed_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.depthwise = nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1, groups=hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, embed_dim)

    def forward(self, x: Tensor, shapes: Shapes) -> Tensor:
        """``[B, N, D]``, the levels one after the other → ``[B, N, D]``."""
        convolved = [self.depthwise(x).flatten(2) for x in level_maps(self.fc1(x), shapes)]
        return self.fc2(F.gelu(torch.cat(convolved, dim=2).transpose(1, 2)))


class Exchange(nn.Module):
    """Deformable attention from one set of tokens to another, each behind a norm of its own.

    Args:
        embed_dim: width D of the tokens.
        num_heads: attention heads.
        config: points and width of the values.
        num_levels: of the features that are attended to.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, config: AdapterConfig, *, num_levels: int
    ) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.feature_norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.attention = DeformableAttention(
            embed_dim,
            num_heads=num_heads,
            num_levels=num_levels,
            num_points=config.num_points,
            value_ratio=config.value_ratio,
        )

    def attend(self, queries: Tensor, grids: Shapes, features: Tensor, shapes: Shapes) -> Tensor:
        """What ``[B, N, D]`` queries on their grids find in ``[B, M, D]`` features of theirs."""
        references = grid_centres(grids, device=queries.device)
        return self.attention(
            self.query_norm(queries), references, self.feature_norm(features), shapes
        )


class Injector(Exchange):
    """Brings the pyramid's features to the ViT's patches, behind a scale that starts at zero."""

    def __init__(self, embed_dim: int, num_heads: int, config: AdapterConfig) -> None:
        super().__init__(embed_dim, num_heads, config, num_levels=3)
        self.scale = nn.Parameter(torch.zeros(embed_dim))

    def forward(self, patches: Tensor, pyramid: Tensor, grid: Shapes, shapes: Shapes) -> Tensor:
        """Updates ``[B, h * w, D]`` patches from the ``[B, N, D]`` pyramid."""
        return patches + self.scale * self.attend(patches, grid, pyramid, shapes)


class Extractor(Exchange):
    """Brings the ViT's features to the pyramid, followed by a convolutional FFN."""

    def __init__(self, embed_dim: int, num_heads: int, config: AdapterConfig) -> None:
        super().__init__(embed_dim, num_heads, config, num_levels=1)
        self.ffn_norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.ffn = ConvFFN(embed_dim, int(embed_dim * config.ffn_ratio))

    def forward(self, pyramid: Tensor, patches: Tensor, grid: Shapes, shapes: Shapes) -> Tensor:
        """Updates the ``[B, N, D]`` pyramid from ``[B, h * w, D]`` patches."""
        pyramid = pyramid + self.attend(pyramid, shapes, patches, grid)
        return pyramid + self.ffn(self.ffn_norm(pyramid), shapes)


class ViTAdapter(nn.Module):
    """Runs a plain ViT with a convolutional branch beside it, and returns four scales.

    What the paper leaves open is chosen as follows, which reproduces its sizes: as many deformable
    heads as the ViT has; the last ViT features, resized bilinearly, are added to every scale; they
    have gone through the ViT's final norm; class and register tokens take part in the ViT's blocks
    only.

    Args:
        encoder: the ViT that it will run; only its dimensions are read.
        config: widths and depths.
    """

    def __init__(self, encoder: Encoder, *, config: AdapterConfig = AdapterConfig()) -> None:
        super().__init__()
        embed_dim = encoder.embed_dim
        sizes = embed_dim, encoder.num_heads, config
        self.strides = STRIDES
        # Where they do not divide, the first parts are longer.
        parts = np.array_split(range(encoder.depth), config.num_interactions)
        self.block_ranges = [part.tolist() for part in parts]
        self.spatial_prior = SpatialPrior(embed_dim, width=config.stem_width)
        self.level_embed = nn.Parameter(torch.randn(3, embed_dim))
        self.injectors = nn.ModuleList(Injector(*sizes) for _ in self.block_ranges)
        self.extractors = nn.ModuleList(Extractor(*sizes) for _ in self.block_ranges)
        self.extra_extractors = nn.ModuleList(
            Extractor(*sizes) for _ in range(config.num_extra_extractors)
        )
        self.upscale = nn.ConvTranspose2d(embed_dim, embed_dim, kernel_size=2, stride=2)
        self.norms = nn.ModuleList(BatchNorm(embed_dim) for _ in self.strides)

    def forward(self, encoder: Encoder, images: Tensor) -> tuple[Tensor, ...]:
        """``[B, 3, H, W]`` images of values 0 to 255 → four maps ``[B, D, h, w]``, finest first."""
        finest, *others = self.spatial_prior(encoder.normalize(images))
        shapes = tuple((x.shape[2], x.shape[3]) for x in others)
        pyramid = torch.cat(
            [
                x.flatten(2).transpose(1, 2) + level
                for x, level in zip(others, self.level_embed, strict=True)
            ],
            dim=1,
        )
        tokens = encoder.embed(images)
        grid = (tokens.grid,)
        for injector, extractor, blocks in zip(
            self.injectors, self.extractors, self.block_ranges, strict=True
        ):
            patches = injector(tokens.patches, pyramid, grid, shapes)
            tokens = tokens.with_x(torch.cat((tokens.x[:, : tokens.num_prefix], patches), dim=1))
            for index in blocks:
                tokens = encoder.run_block(index, tokens)
            pyramid = extractor(pyramid, tokens.patches, grid, shapes)
        for extractor in self.extra_extractors:
            pyramid = extractor(pyramid, tokens.patches, grid, shapes)

        others = level_maps(pyramid, shapes)
        maps = (finest + self.upscale(others[0]), *others)
        patches = tokens.with_x(encoder.norm(tokens.x)).patches
        last = patches.transpose(1, 2).unflatten(2, tokens.grid)
        return tuple(
            norm(x + F.interpolate(last, size=x.shape[-2:], mode="bilinear"))
            for norm, x in zip(self.norms, maps, strict=True)
        )
