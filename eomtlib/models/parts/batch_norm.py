"""Batch norm over the samples of all processes, on GPUs and on CPUs.

PyTorch's ``SyncBatchNorm`` refuses CPUs. Alone, this is PyTorch's own batch norm.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class BatchNorm(_BatchNorm):
    """Normalises channels over all other axes, and in training over all processes.

    Takes ``[N, C]`` and ``[B, C, H, W]``. State and arguments are those of ``nn.BatchNorm2d``.
    Every process must run it equally often.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of axes will do, the second one being the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape and type of ``x``; statistics are computed in float32."""
        alone = not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)
        if alone or not self.training:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return self._synchronized(x.float()).to(x.dtype)

    def _synchronized(self, x: Tensor) -> Tensor:
        others = [axis for axis in range(x.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
        # Filled on the device: a list would be copied there, and waited for.
        count = x.new_full((1,), x.numel() / x.shape[1])
        # Two rounds, as the variance from a sum of squares would lose digits.
        total = all_reduce(torch.cat((x.sum(others), count)))
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = x - mean.view(shape)
        variance = all_reduce(centred.square().sum(others)) / count
        with torch.no_grad():
            unbiased = variance * count / (count - 1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale.view(shape) + self.bias.view(shape)
