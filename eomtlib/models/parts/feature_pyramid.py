"""The feature pyramid that a plain ViT's single output is turned into.

A ViT has one scale; Mask2Former wants four. Without a ViT-Adapter each of them is made on its own
from the last feature map, by doubling or halving it (EoMT, Kerssies et al., CVPR 2025, Section 3.1,
"Removing the adapter"; the idea is ViTDet's simple feature pyramid, Li et al., ECCV 2022).
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from eomtlib.core.structures import Tokens
from eomtlib.models.parts.scale_block import ScaleBlock

STRIDES = (4, 8, 16, 32)
"""Of the four scales in pixels, finest first."""


def rescale(channels: int, *, patch_size: int, stride: int) -> nn.Sequential:
    """``ScaleBlock``s from the token grid to another stride; the identity at the patch's own."""
    steps = round(math.log2(patch_size / stride))
    return nn.Sequential(*(ScaleBlock(channels, up=steps > 0) for _ in range(abs(steps))))


class FeaturePyramid(nn.Module):
    """Makes several scales of a plain ViT's last feature map.

    All scales keep the ViT's width. The map is taken after the ViT's final norm.

    Args:
        embed_dim: width D of the ViT.
        patch_size: of the ViT, in pixels.
        strides: of the scales to make, finest first. A single-scale model takes the finest and
            the patch's own.
    """

    def __init__(
        self, embed_dim: int, *, patch_size: int, strides: tuple[int, ...] = STRIDES
    ) -> None:
        super().__init__()
        self.strides = strides
        self.scales = nn.ModuleList(
            rescale(embed_dim, patch_size=patch_size, stride=stride) for stride in strides
        )

    def forward(self, tokens: Tokens) -> tuple[Tensor, ...]:
        """The ViT's last tokens, normed → one ``[B, D, H/s, W/s]`` per stride s."""
        feature_map = tokens.patches.transpose(1, 2).unflatten(2, tokens.grid)
        return tuple(scale(feature_map) for scale in self.scales)
