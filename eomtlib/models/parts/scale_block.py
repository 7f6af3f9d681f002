"""The block that doubles or halves a feature map.

2×2 (transposed) convolution of stride 2, GELU, depthwise 3×3 convolution, LayerNorm over channels
(EoMT, Kerssies et al., CVPR 2025, Section 3.1, after ViTDet, Li et al., ECCV 2022). At a quarter of
a large image its maps are the largest tensors of a training step, so it matters how many of them
there are at a time, and how often each is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

_LARGE_MAP = 2**21
"""Numbers in a map from which on recomputing it spares more memory than it costs time."""

_gelu_in_place = torch.ops.aten.gelu_


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


class Halving(nn.Conv2d):
    """A 2×2 convolution of stride 2, which halves a feature map.

    Args:
        channels: kept.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` → ``[B, C, H/2, W/2]``, channels-last in memory."""
        return super().forward(_channels_last(x))


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
        self.resample = Doubling(channels) if up else Halving(channels)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = LayerNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` → ``[B, C, 2H, 2W]`` or ``[B, C, H/2, W/2]``."""
        x = self.resample(x)
        if not torch.is_grad_enabled():
            return self.norm(self.depthwise(_gelu_in_place(x)))
        # Of three maps the backward pass makes two again. A compiler decides this itself, and small
        # maps are not worth the calls.
        if x.numel() < _LARGE_MAP or torch.compiler.is_compiling():
            return self._smoothed(x)
        if torch.is_autocast_enabled(x.device.type):
            return checkpoint(self._smoothed, x, use_reentrant=False, preserve_rng_state=False)
        norm = self.norm
        return _Smoothed.apply(x, self.depthwise.weight, norm.weight, norm.bias, norm.eps)

    def _smoothed(self, x: Tensor) -> Tensor:
        return self.norm(self.depthwise(F.gelu(x)))


class _Smoothed(torch.autograd.Function):
    """What follows the resampling, holding its input only.

    Beside a checkpoint it spares LayerNorm's second forward pass, of which the statistics of the
    first are enough, and one map of memory: a quarter of the time.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, depthwise: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> Tensor:
        pixels = _depthwise(F.gelu(x), depthwise).permute(0, 2, 3, 1)
        out, mean, rstd = torch.native_layer_norm(pixels, weight.shape, weight, bias, eps)
        ctx.save_for_backward(x, depthwise, weight, bias, mean, rstd)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *parameters, mean, rstd = ctx.saved_tensors
        of_x = torch.empty_like(x)
        # An image at a time, since this is where a training step's memory peaks.
        parts = (whole.split(1) for whole in (x, of_x, gradient, mean, rstd))
        of_parameters = [
            _gradients_of_image(image, part, statistics, parameters, out=out)
            for image, out, part, *statistics in zip(*parts, strict=True)
        ]
        return of_x, *(sum(own) for own in zip(*of_parameters, strict=True)), None


def _gradients_of_image(
    x: Tensor,
    gradient: Tensor,
    statistics: Sequence[Tensor],
    parameters: Sequence[Tensor],
    *,
    out: Tensor,
) -> tuple[Tensor, ...]:
    """Writes the gradient of ``x`` to ``out`` and returns those of the parameters, in order."""
    depthwise, weight, bias = parameters
    activated = F.gelu(x)
    of_pixels, of_weight, of_bias = torch.ops.aten.native_layer_norm_backward(
        gradient.permute(0, 2, 3, 1),
        _depthwise(activated, depthwise).permute(0, 2, 3, 1),
        weight.shape,
        *statistics,
        weight,
        bias,
        (True, True, True),
    )
    of_activated, of_depthwise, _ = torch.ops.aten.convolution_backward(
        of_pixels.permute(0, 3, 1, 2),
        activated,
        depthwise,
        None,
        stride=(1, 1),
        padding=(1, 1),
        dilation=(1, 1),
        transposed=False,
        output_padding=(0, 0),
        groups=len(depthwise),
        output_mask=(True, True, False),
    )
    torch.ops.aten.gelu_backward.grad_input(of_activated, x, grad_input=out)
    return of_depthwise, of_weight, of_bias


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _depthwise(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=1, groups=len(weight))
