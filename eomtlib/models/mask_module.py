"""The mask module: what turns queries and patch tokens into classes and masks.

EoMT, Section 3.2 and Figure 2: a linear class head, and a three-layer MLP on the query whose output
is dotted with the patch features, upscaled to a quarter of the image.
"""

from __future__ import annotations

from torch import Tensor, nn

from eomtlib.models.feature_pyramid import ScaleBlock, num_upscalings


def mask_product(queries: Tensor, features: Tensor) -> Tensor:
    """The dot product of every query with every pixel.

    The result lies channels-last in memory: all queries of a pixel side by side, which is how the
    loss samples them and how resizing is fastest.

    Args:
        queries: ``[B, Q, D]``.
        features: ``[B, D, h, w]``.

    Returns:
        ``[B, Q, h, w]``.
    """
    height, width = features.shape[-2:]
    pixels = features.permute(0, 2, 3, 1).flatten(1, 2)
    return (pixels @ queries.transpose(1, 2)).unflatten(1, (height, width)).permute(0, 3, 1, 2)


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
        self.upscale = nn.Sequential(
            *(ScaleBlock(embed_dim, up=True) for _ in range(num_upscalings(patch_size)))
        )

    def mask_logits(self, queries: Tensor, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """``[B, Q, D]`` queries and ``[B, h * w, D]`` patches → ``[B, Q, H/4, W/4]``."""
        features = self.upscale(patches.transpose(1, 2).unflatten(2, grid))
        return mask_product(self.mask_head(queries), features)

    def forward(
        self, queries: Tensor, patches: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Mask logits and class logits."""
        return self.mask_logits(queries, patches, grid), self.class_head(queries)
