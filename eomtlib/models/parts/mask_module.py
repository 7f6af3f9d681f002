"""The mask module: what turns queries and patch tokens into classes and masks.

EoMT, Section 3.2 and Figure 2: a linear class head, and a three-layer MLP on the query whose output
is dotted with the patch features, upscaled to a quarter of the image.
"""

from __future__ import annotations

from torch import Tensor, nn

from eomtlib.core.predictions import MaskLogits
from eomtlib.models.parts.feature_pyramid import STRIDES, rescale


class MaskModule(nn.Module):
    """Predicts ``[B, Q, classes + 1]`` class logits and ``[B, Q, h, w]`` mask logits.

    Args:
        embed_dim: width D of the tokens; all layers keep it.
        num_classes: without "no object".
        patch_size: of the encoder; decides how often the patch features are doubled.
    """

    def __init__(self, embed_dim: int, *, num_classes: int, patch_size: int) -> None:
        super().__init__()
        self.class_head = nn.Linear(embed_dim, num_classes + 1)
        self.mask_head = nn.Sequential(
            nn.Linear(embed_dim, embed_dim),
            nn.GELU(),
            nn.Linear(embed_dim, embed_dim),
            nn.GELU(),
            nn.Linear(embed_dim, embed_dim),
        )
        self.upscale = rescale(embed_dim, patch_size=patch_size, stride=STRIDES[0])

    def masks(self, queries: Tensor, patches: Tensor, grid: tuple[int, int]) -> MaskLogits:
        """``[B, Q, D]`` queries and ``[B, h * w, D]`` patches → mask logits at a quarter."""
        features = self.upscale(patches.transpose(1, 2).unflatten(2, grid))
        embeddings = self.mask_head(queries)
        # Norms give float32 on a GPU; kept so until the loss, five layers' maps take gigabytes.
        return MaskLogits(features.to(embeddings.dtype), embeddings)

    def forward(
        self, queries: Tensor, patches: Tensor, grid: tuple[int, int]
    ) -> tuple[MaskLogits, Tensor]:
        """Mask logits and class logits."""
        return self.masks(queries, patches, grid), self.class_head(queries)
