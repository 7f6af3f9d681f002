"""Images and weights that make a comparison tell something."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SCALES = ("lambda1", "gamma", "gamma_1", "gamma_2")


@torch.no_grad()
def spread_weights(model: nn.Module) -> None:
    """Gives every parameter a size that shows.

    Fresh weights do not: LayerScale starts at 1e-5, so that a model with a block left out, or with
    its rotary table negated, would still pass.
    """
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(noise / max(1, parameter[0].numel()) ** 0.5)
        else:
            is_norm = "norm" in name and name.endswith("weight")
            parameter.copy_(float(is_norm or name.endswith(_SCALES)) + 0.1 * noise)


def random_images(height: int, width: int, *, batch: int = 2) -> Tensor:
    """``[batch, 3, height, width]`` uint8, always the same."""
    generator = torch.Generator().manual_seed(1)
    shape = (batch, 3, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def normalized(images: Tensor, config: dict[str, tuple[float, ...]]) -> Tensor:
    """Images as others want them: scaled to [0, 1], then by mean and std of timm's ``config``."""
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))
    return (images / 255 - mean) / std
