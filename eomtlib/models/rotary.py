"""DINOv3's rotary table, on a grid that is rescaled at random in training.

DINOv3 (Siméoni et al., 2025, Section 3.2): coordinates in [−1, 1] are multiplied by a factor
between 1/R and R. timm draws it in the forward pass, on the CPU, from PyTorch's global generator;
here it is drawn before, and the table is made on the device, so that nothing waits and compiled
code sees what eager code sees.
"""

from __future__ import annotations

import math

import torch
from timm.layers import RotaryEmbeddingDinoV3
from torch import Tensor, nn


class RescaledRope(RotaryEmbeddingDinoV3):
    """timm's module, but that ``rescale`` draws the factor of the next forward passes.

    Args:
        dim: channels of a head.
        feat_shape: rows and columns of patches.
        temperature: of the periods.
        most: R; None for a grid that stays as it is.
    """

    factor: Tensor

    def __init__(
        self,
        dim: int,
        *,
        feat_shape: list[int],
        temperature: float = 100.0,
        most: float | None = 2.0,
    ) -> None:
        super().__init__(dim, feat_shape=feat_shape, temperature=temperature, rotate_half=True)
        self.most = most
        self.register_buffer("factor", torch.ones(()), persistent=False)

    def rescale(self, generator: torch.Generator) -> None:
        """Draws the factor, log-uniform; on a CPU, and handed to the device as a number."""
        if self.training and self.most is not None:
            reach = math.log(self.most)
            drawn = torch.empty(1).uniform_(-reach, reach, generator=generator).exp()
            self.factor.fill_(drawn.item())

    def get_embed(self, shape: list[int] | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """Sines and cosines ``[rows * columns, 2 * dim]``."""
        if self.training and self.most is not None:
            axes = [
                2 * ((torch.arange(side, device=self.factor.device) + 0.5) / side) - 1
                for side in shape or self.feat_shape
            ]
            grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1)
            table = torch.cat(self._get_pos_embed_from_coords(grid * self.factor), dim=-1)
        else:
            table = super().get_embed(shape)  # older versions of timm know no dtype
        return table if dtype is None else table.to(dtype)


def ropes_of(model: nn.Module) -> list[RescaledRope]:
    """All such tables of a model."""
    return [module for module in model.modules() if isinstance(module, RescaledRope)]
