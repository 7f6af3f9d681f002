"""EoMT, the Encoder-only Mask Transformer: a plain ViT whose last blocks also process queries.

Kerssies et al., *Your ViT is Secretly an Image Segmentation Model*, CVPR 2025.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from eomtlib.core.structures import Tokens
from eomtlib.models.parts.query_blocks import QueryBlockModel


class EoMT(QueryBlockModel):
    """A ViT, learned queries that join its last blocks, and the mask module. Nothing else.

    Args:
        encoder: the ViT; its final norm is the one that predictions are made on.
        num_queries: Q; the paper uses 200 for panoptic and instance, 100 for semantic.
        num_classes: without "no object".
        query_blocks: L2, the blocks that process queries: 3 (S, B), 4 (L), 5 (g) in the paper.
        masking: ``annealed`` for EoMT, ``masked`` for the step before it (``eomt-masked``).
    """

    @property
    def first_query_block(self) -> int:
        """The first of the ViT's blocks that queries join, from 0."""
        return self.encoder.depth - self.masking.num_blocks

    @property
    def reads(self) -> tuple[int, ...]:
        """The block before the first that queries join, if there is one."""
        return tuple(range(self.first_query_block)[-1:])

    def tokens(self, embedded: Tokens, outputs: Sequence[Tokens]) -> Tokens:
        return outputs[0] if outputs else embedded

    def run_query_block(self, index: int, tokens: Tokens, attn_mask: Tensor | None) -> Tokens:
        return self.encoder.run_block(self.first_query_block + index, tokens, attn_mask)

    def norm(self, x: Tensor) -> Tensor:
        return self.encoder.norm(x)
