"""An exponential moving average of a model's weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class AveragedModel(nn.Module):
    """A copy of a model whose weights follow it: ``average += (1 − decay) · (weights − average)``.

    In the first steps the decay is ``(1 + n) / (10 + n)``, so that the random start is soon gone.
    Buffers that are no numbers with a fraction are copied.

    Args:
        model: to follow, before it is compiled.
        decay: of the average, in (0, 1).
    """

    updates: Tensor

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self._count: int | None = None

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Follows the model after a step."""
        if self._count is None:  # of the state that was loaded
            self._count = int(self.updates)
        self._count += 1
        self.updates += 1
        decay = min(self.decay, (1 + self._count) / (10 + self._count))
        own, theirs = self.average.state_dict(), model.state_dict()
        fractions = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [own[name] for name in fractions], [theirs[name] for name in fractions], 1 - decay
        )
        for name in own.keys() - fractions:
            own[name].copy_(theirs[name])
