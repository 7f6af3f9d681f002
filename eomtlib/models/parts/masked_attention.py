"""Masked attention and its annealing: what a query may see, and how often its mask applies.

Mask2Former (Cheng et al., CVPR 2022, Section 3.2.1) lets a query attend only inside the mask that
it predicted one layer before. EoMT (Kerssies et al., CVPR 2025, Section 3.3) applies that mask with
a probability that falls to zero in training, so that none is needed afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from eomtlib.core.errors import check_choice
from eomtlib.core.predictions import MaskLogits
from eomtlib.core.words import MASKING_MODES


@dataclass(frozen=True)
class Pass:
    """One run through the blocks that can be masked.

    Attributes:
        masked: whether they are.
        draws: uniform numbers ``[B, num_blocks, Q]`` in [0, 1) that decide, in mode ``annealed``,
            which queries' masks apply; drawn from torch's generator when None.
        final_only: whether the last layer alone is asked for, and nothing that it does not need;
            masks then apply to every query.
    """

    masked: bool
    draws: Tensor | None = None
    final_only: bool = False


class Masking(nn.Module):
    """Says for each masked block whether, and for which queries, its mask applies.

    The mode is a static choice. In mode ``annealed`` the probabilities are one small tensor that
    the training loop fills; nothing branches on its values, so one compiled graph serves a run.

    Args:
        mode: ``masked`` (always), ``annealed`` (with a probability per block), ``unmasked`` (never:
            intermediate masks are not even predicted).
        num_blocks: how many blocks can be masked.
    """

    probabilities: Tensor

    def __init__(self, mode: str, num_blocks: int) -> None:
        super().__init__()
        self.mode = check_choice("masking", mode, MASKING_MODES)
        self.num_blocks = num_blocks
        self.register_buffer("probabilities", torch.ones(num_blocks), persistent=False)

    @property
    def in_training(self) -> bool:
        """Whether blocks are masked, and intermediate layers supervised, in training."""
        return self.mode != "unmasked"

    @property
    def in_inference(self) -> bool:
        """Whether a finished model still needs its masks."""
        return self.mode == "masked"

    def training_pass(self, draws: Tensor | None = None) -> Pass:
        """Every supervised layer, masked as in training."""
        return Pass(self.in_training, draws)

    def final_pass(self, masked: bool | None = None) -> Pass:
        """The final layer alone, by default masked where the model was trained to end up so."""
        return Pass(self.in_inference if masked is None else masked, final_only=True)

    def keep(self, block: int, queries: Tensor, way: Pass) -> Tensor | None:
        """The queries whose mask applies in one block.

        Args:
            block: index of the masked block, from 0.
            queries: ``[B, Q, D]``, for shape and device.
            way: the pass that the block belongs to.

        Returns:
            ``[B, Q]`` bool, or None where every mask applies.
        """
        if self.mode != "annealed" or way.final_only:
            return None
        if way.draws is None:
            draw = torch.rand(queries.shape[:2], device=queries.device)
        else:
            draw = way.draws[:, block]
        return draw < self.probabilities[block]

    @staticmethod
    def spared_macs(masks: MaskLogits, grid: tuple[int, int]) -> int:
        """Multiply-accumulates of a mask product in every pixel that its product on a grid spares.

        Published counts contain them: the papers' models multiply first and resize afterwards.
        """
        batch, queries, height, width = masks.shape
        return batch * queries * masks.features.shape[1] * (height * width - grid[0] * grid[1])

    def forward(
        self, masks: MaskLogits, grid: tuple[int, int], keep: Tensor | None = None
    ) -> Tensor:
        """The patches that each query may attend to.

        A query sees a patch where its own mask, resized bilinearly to the grid, is above 0. No
        gradient flows through this decision.

        Args:
            masks: the queries' own.
            grid: rows and columns of patches.
            keep: ``[B, Q]`` bool, the queries whose mask applies; None for all.

        Returns:
            ``[B, Q, rows * columns]`` bool, True where the query may look.
        """
        # Contiguous, for fused attention on GPUs takes no mask whose columns lie apart.
        visible = (masks.detach().resized(grid) > 0).contiguous()
        return visible if keep is None else visible | ~keep[..., None]
