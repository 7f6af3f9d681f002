"""What EoMT and PMT share: queries that go through plain Transformer blocks with the tokens.

The mask module runs before each of these blocks, where its masks say what the queries may attend
to, and once after the last (EoMT, Sections 3.2 and 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from eomtlib.core.predictions import MaskLogits, Predictions
from eomtlib.core.structures import Tokens
from eomtlib.models.encoders import Encoder
from eomtlib.models.parts.mask_module import MaskModule
from eomtlib.models.parts.masked_attention import Masking, Pass
from eomtlib.models.parts.segmentation_model import SegmentationModel


class QueryBlockModel(SegmentationModel):
    """Base of the models whose queries are tokens among tokens.

    A subclass says which tokens queries join (``reads``, ``tokens``), what block k does
    (``run_query_block``) and on which norm predictions are made (``norm``).

    Args:
        encoder: the ViT.
        num_queries: Q.
        num_classes: without "no object".
        query_blocks: number of blocks that process queries.
        masking: ``masked``, ``annealed`` or ``unmasked``.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        num_queries: int,
        num_classes: int,
        query_blocks: int,
        masking: str,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.num_queries, self.size_divisor = num_queries, encoder.patch_size
        self.queries = nn.Parameter(torch.randn(num_queries, encoder.embed_dim))
        self.mask_module = MaskModule(
            encoder.embed_dim, num_classes=num_classes, patch_size=encoder.patch_size
        )
        self.masking = Masking(masking, query_blocks)

    def set_image_size(self, image_size: tuple[int, int]) -> None:
        self.encoder.set_image_size(image_size)

    def tokens(self, embedded: Tokens, outputs: Sequence[Tokens]) -> Tokens:
        """The tokens that the queries will join, of what ``run_from`` takes."""
        raise NotImplementedError

    def run_query_block(self, index: int, tokens: Tokens, attn_mask: Tensor | None) -> Tokens:
        """Runs the block ``index`` of those that process queries, from 0."""
        raise NotImplementedError

    def norm(self, x: Tensor) -> Tensor:
        """The norm on which predictions are made."""
        raise NotImplementedError

    def run_from(self, embedded: Tokens, outputs: Sequence[Tokens], way: Pass) -> Predictions:
        layers: list[tuple[MaskLogits, Tensor]] = []
        tokens = self.tokens(embedded, outputs)
        tokens = tokens.with_queries(self.queries.expand(tokens.x.shape[0], -1, -1))
        for index in range(self.masking.num_blocks):
            attn_mask = None
            if way.masked:
                normed = tokens.with_x(self.norm(tokens.x))
                masks = self.mask_module.masks(normed.queries, normed.patches, tokens.grid)
                if not way.final_only:
                    layers.append((masks, self.mask_module.class_head(normed.queries)))
                keep = self.masking.keep(index, tokens.queries, way)
                attn_mask = _attention_mask(tokens, self.masking(masks, tokens.grid, keep))
            tokens = self.run_query_block(index, tokens, attn_mask)
        normed = tokens.with_x(self.norm(tokens.x))
        layers.append(self.mask_module(normed.queries, normed.patches, tokens.grid))
        return Predictions(*zip(*layers, strict=True))


def _attention_mask(tokens: Tokens, visible: Tensor) -> Tensor:
    """``[B, 1, N, N]`` bool: all may attend to all, but a query to patches outside its mask."""
    batch, num_tokens = tokens.x.shape[:2]
    others = visible.new_ones(batch, tokens.num_queries, tokens.num_queries + tokens.num_prefix)
    rest = visible.new_ones(batch, num_tokens - tokens.num_queries, num_tokens)
    return torch.cat((torch.cat((others, visible), dim=2), rest), dim=1).unsqueeze(1)
