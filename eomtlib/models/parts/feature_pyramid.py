"""The feature pyramid that a plain ViT's single output is turned into.

A ViT has one scale; Mask2Former wants four. Without a ViT-Adapter each of them is made on its own
from the last feature map, by doubling or halving it (EoMT, Kerssies et al., CVPR 2025, Section 3.1,
"Removing the adapter"; the idea is ViTDet's simple feature pyramid, Li et al., ECCV 2022).
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from eomtlib.core.errors import ConfigurationError
from eomtlib.models.encoders import Encoder
from eomtlib.models.parts.scale_block import ScaleBlock


def num_upscalings(patch_size: int) -> int:
    """Doublings from the token grid to the finest scale: 2 for patch 16, 1 for patch 8."""
    return max(1, int(math.log2(patch_size)) - 2)


def pyramid_strides(patch_size: int) -> tuple[int, int, int, int]:
    """Strides of the four scales in pixels, finest first: 4, 8, 16, 32 for patch 16 and patch 8.

    Raises:
        ConfigurationError: when the finest stride would be no whole number.
    """
    factor = 2 ** num_upscalings(patch_size)
    if patch_size % factor:
        raise ConfigurationError(
            f"patch_size={patch_size} is no multiple of {factor}, so that its token grid cannot be "
            f"doubled {num_upscalings(patch_size)} times. Use a power of two, such as 16."
        )
    finest = patch_size // factor
    return finest, 2 * finest, 4 * finest, 8 * finest


def rescale(channels: int, *, patch_size: int, stride: int) -> nn.Module:
    """``ScaleBlock``s from the token grid to another stride; the identity at the patch's own."""
    steps = round(math.log2(patch_size / stride))
    return nn.Sequential(*(ScaleBlock(channels, up=steps > 0) for _ in range(abs(steps))))


class FeaturePyramid(nn.Module):
    """Runs a plain ViT and makes several scales of its last feature map.

    All scales keep the ViT's width. The map is taken after the ViT's final norm.

    Args:
        embed_dim: width D of the ViT.
        patch_size: of the ViT, in pixels.
        strides: of the scales to make, finest first, each one of ``pyramid_strides(patch_size)``;
            all four by default. A single-scale model takes the finest and the patch's own.

    Raises:
        ConfigurationError: for a stride that is not in the pyramid.
    """

    def __init__(
        self, embed_dim: int, *, patch_size: int, strides: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        possible = pyramid_strides(patch_size)
        self.strides = possible if strides is None else strides
        if not self.strides or any(stride not in possible for stride in self.strides):
            raise ConfigurationError(
                f"strides={self.strides} must be taken from {possible}, the pyramid of patch size "
                f"{patch_size}."
            )
        self.scales = nn.ModuleList(
            rescale(embed_dim, patch_size=patch_size, stride=stride) for stride in self.strides
        )

    def forward(self, encoder: Encoder, images: Tensor) -> tuple[Tensor, ...]:
        """``[B, 3, H, W]`` images of values 0 to 255 → one ``[B, D, H/s, W/s]`` per stride s."""
        patches = encoder(images)[:, encoder.num_prefix :]
        feature_map = patches.transpose(1, 2).unflatten(2, encoder.grid_size)
        return tuple(scale(feature_map) for scale in self.scales)
