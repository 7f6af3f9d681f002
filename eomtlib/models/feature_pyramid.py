"""The feature pyramid that a plain ViT's single output is turned into.

A ViT has one scale; Mask2Former wants four. Without a ViT-Adapter each of them is made on its own
from the last feature map, by doubling or halving it (EoMT, Kerssies et al., CVPR 2025, Section 3.1,
"Removing the adapter"; the idea is ViTDet's simple feature pyramid, Li et al., ECCV 2022).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from eomtlib.encoders import Encoder
from eomtlib.errors import ConfigurationError

_LARGE_MAP = 2**21
"""Numbers in a map from which on recomputing it spares more memory than it costs time."""


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


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of ``[B, C, H, W]``.

    Args:
        channels: C.
        eps: added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` → ``[B, C, H, W]``."""
        x = F.layer_norm(
            x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps
        )
        return x.permute(0, 3, 1, 2)


class Doubling(nn.ConvTranspose2d):
    """A transposed 2×2 convolution of stride 2, which doubles a feature map.

    Its windows do not overlap, so that it is a linear layer of each pixel. In that form it is
    trained: on CPUs the gradients of the convolution take two to three times as long.

    Args:
        channels: kept.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` → ``[B, C, 2H, 2W]``, channels-last in memory where ``x`` is."""
        if not torch.is_grad_enabled():
            return super().forward(x)
        height, width = x.shape[2:]
        pixels = x.permute(0, 2, 3, 1)
        # One product for the upper row of each new square, one for the lower.
        rows = [
            F.linear(pixels, weight.permute(2, 1, 0).flatten(0, 1), self.bias.repeat(2))
            for weight in self.weight.unbind(2)
        ]
        doubled = torch.stack(rows, dim=2).view(len(x), 2 * height, 2 * width, -1)
        return doubled.permute(0, 3, 1, 2)


class ScaleBlock(nn.Module):
    """Doubles or halves a feature map.

    2×2 (transposed) convolution of stride 2, GELU, depthwise 3×3 convolution without bias,
    LayerNorm over channels. Channels lie last in memory throughout, as in the tokens: depthwise
    convolution and LayerNorm are fastest so.

    Args:
        channels: kept.
        up: whether to double (True) or to halve (False).
    """

    def __init__(self, channels: int, *, up: bool) -> None:
        super().__init__()
        self.resample = Doubling(channels) if up else nn.Conv2d(channels, channels, 2, stride=2)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = LayerNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` → ``[B, C, 2H, 2W]`` or ``[B, C, H/2, W/2]``."""
        x = self.resample(x.contiguous(memory_format=torch.channels_last))
        # Of three maps the backward pass makes two again, for two per cent of a step: at a quarter
        # of a large image they are the largest tensors that it holds. A compiler decides this
        # itself, and small maps are not worth the calls.
        is_large = x.numel() >= _LARGE_MAP and not torch.compiler.is_compiling()
        if is_large and torch.is_grad_enabled():
            return checkpoint(self._smoothed, x, use_reentrant=False, preserve_rng_state=False)
        return self._smoothed(x)

    def _smoothed(self, x: Tensor) -> Tensor:
        return self.norm(self.depthwise(F.gelu(x)))


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
        tokens = encoder.embed(images)
        for index in range(encoder.depth):
            tokens = encoder.run_block(index, tokens)
        patches = tokens.with_x(encoder.norm(tokens.x)).patches
        feature_map = patches.transpose(1, 2).unflatten(2, tokens.grid)
        return tuple(scale(feature_map) for scale in self.scales)
