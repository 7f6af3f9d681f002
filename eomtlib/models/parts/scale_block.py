"""The block that doubles or halves a feature map.

2×2 (transposed) convolution of stride 2, GELU, depthwise 3×3 convolution, LayerNorm over channels
(EoMT, Kerssies et al., CVPR 2025, Section 3.1, after ViTDet, Li et al., ECCV 2022). At a quarter of
a large image its maps are the largest tensors of a training step, so it matters how many of them
there are at a time, and how often each is made.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

_LARGE_MAP = 2**21
"""Numbers in a map from which on recomputing it spares more memory than it costs time."""


class Doubling(nn.ConvTranspose2d):
    """A transposed 2×2 convolution of stride 2, which doubles a feature map.

    Args:
        channels: kept.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` → ``[B, C, 2H, 2W]``, channels-last in memory."""
        if not torch.is_grad_enabled():
            return super().forward(_channels_last(x))
        inputs = x, self.weight, self.bias
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            inputs = tuple(tensor.to(dtype) for tensor in inputs)
        return _Doubled.apply(*inputs)


class _Doubled(torch.autograd.Function):
    """The transposed convolution with gradients of its own.

    Its windows do not overlap, so that it is a linear layer of each pixel. In that form its
    gradients take less than half the time of the convolution's on CPUs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        # As it came: some patches among tokens that others hold anyway.
        ctx.save_for_backward(x, weight)
        return F.conv_transpose2d(_channels_last(x), weight, bias, stride=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        shape = x.permute(0, 2, 3, 1).shape
        pixels = x.permute(0, 2, 3, 1).reshape(-1, shape[-1])
        # The upper row of each new square, then the lower: ``[pixels, two columns of channels]``.
        rows = gradient.permute(0, 2, 3, 1).unflatten(1, (x.shape[2], 2)).unbind(2)
        of_x, of_rows, of_bias = None, [], 0
        for row, part in zip(rows, weight.unbind(2), strict=True):
            row = row.reshape(len(pixels), -1)
            layer = part.permute(2, 1, 0)
            product = row @ layer.flatten(0, 1)
            of_x = product if of_x is None else of_x.add_(product)
            of_layer = row.T @ pixels
            of_rows.append(of_layer.view(layer.shape).permute(2, 1, 0))
            of_bias = of_bias + row.sum(0).view(2, -1).sum(0)
        of_x = of_x.view(shape).permute(0, 3, 1, 2)
        return of_x, torch.stack(of_rows, dim=2), of_bias


class ScaleBlock(nn.Module):
    """Doubles or halves a feature map.

    Channels lie last in memory throughout, as in the tokens: depthwise convolution and LayerNorm
    are fastest so.

    Args:
        channels: kept.
        up: whether to double (True) or to halve (False).
    """

    def __init__(self, channels: int, *, up: bool) -> None:
        super().__init__()
        self.resample: nn.Module = (
            Doubling(channels) if up else nn.Conv2d(channels, channels, kernel_size=2, stride=2)
        )
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = LayerNorm2d(channels)
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` → ``[B, C, 2H, 2W]`` or ``[B, C, H/2, W/2]``."""
        x = self.resample(x if self.up else _channels_last(x))
        # Of three maps the backward pass makes two again. A compiler decides this itself, and small
        # maps are not worth the calls.
        is_large = x.numel() >= _LARGE_MAP and not torch.compiler.is_compiling()
        if not is_large or not torch.is_grad_enabled():
            return self._smoothed(x)
        return checkpoint(self._smoothed, x, use_reentrant=False, preserve_rng_state=False)

    def _smoothed(self, x: Tensor) -> Tensor:
        return self.norm(self.depthwise(F.gelu(x)))


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
