"""What EoMT and PMT share: queries that go through plain Transformer blocks with the tokens.

The mask module runs before each of these blocks, where its masks say what the queries may attend
to, and once after the last (EoMT, Sections 3.2 and 3.3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eomtlib.core.predictions import MaskLogits, Predictions
from eomtlib.core.structures import Tokens
from eomtlib.models.encoders import Encoder
from eomtlib.models.parts.mask_module import MaskModule
from eomtlib.models.parts.masked_attention import Masking
from eomtlib.models.parts.segmentation_model import SegmentationModel


class QueryBlockModel(SegmentationModel):
    """Base of the models whose queries are tokens among tokens.

    A subclass says how images become tokens (``tokens``), what block k does (``run_query_block``)
    and on which norm predictions are made (``norm``).

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
        self.queries = nn.Parameter(torch.randn(num_queries, encoder.embed_dim))
        self.mask_module = MaskModule(
            encoder.embed_dim, num_classes=num_classes, patch_size=encoder.patch_size
        )
        self.masking = Masking(masking, query_blocks)

    @property
    def num_queries(self) -> int:
        return self.queries.shape[0]

    @property
    def size_divisor(self) -> int:
        return self.encoder.patch_size

    def set_image_size(self, image_size: tuple[int, int]) -> None:
        self.encoder.set_image_size(image_size)

    def tokens(self, images: Tensor) -> Tokens:
        """``[B, 3, H, W]`` images → the tokens that the queries will join."""
        raise NotImplementedError

    def run_query_block(self, index: int, tokens: Tokens, attn_mask: Tensor | None) -> Tokens:
        """Runs the block ``index`` of those that process queries, from 0."""
        raise NotImplementedError

    def norm(self, x: Tensor) -> Tensor:
        """The norm on which predictions are made."""
        raise NotImplementedError

    def forward(self, images: Tensor, mask_draws: Tensor | None = None) -> Predictions:
        layers: list[tuple[MaskLogits, Tensor]] = []
        tokens = self._with_queries(self.tokens(images))
        for index in range(self.masking.num_blocks):
            attn_mask = None
            if self.masking.in_training:
                layers.append(self._predict_layer(tokens))
                keep = self.masking.keep(index, tokens.queries, mask_draws)
                visible = self.masking(layers[-1][0], tokens.grid, keep)
                attn_mask = _attention_mask(tokens, visible)
            tokens = self.run_query_block(index, tokens, attn_mask)
        layers.append(self._predict_layer(tokens))
        masks, class_logits = zip(*layers, strict=True)
        return Predictions(masks, class_logits)

    def predict_final(self, images: Tensor, *, masked: bool | None = None) -> Predictions:
        return self.predict_from(self.tokens(images), masked=masked)

    def predict_from(self, tokens: Tokens, *, masked: bool | None = None) -> Predictions:
        """``predict_final`` from what ``tokens`` returns."""
        masked = self.masking.in_inference if masked is None else masked
        tokens = self._with_queries(tokens)
        for index in range(self.masking.num_blocks):
            attn_mask = None
            if masked:
                normed = tokens.with_x(self.norm(tokens.x))
                masks = self.mask_module.masks(normed.queries, normed.patches, tokens.grid)
                attn_mask = _attention_mask(tokens, self.masking(masks, tokens.grid))
            tokens = self.run_query_block(index, tokens, attn_mask)
        masks, class_logits = self._predict_layer(tokens)
        return Predictions((masks,), (class_logits,))

    def _with_queries(self, tokens: Tokens) -> Tokens:
        return tokens.with_queries(self.queries.expand(tokens.x.shape[0], -1, -1))

    def _predict_layer(self, tokens: Tokens) -> tuple[MaskLogits, Tensor]:
        normed = tokens.with_x(self.norm(tokens.x))
        return self.mask_module(normed.queries, normed.patches, tokens.grid)


def _attention_mask(tokens: Tokens, visible: Tensor) -> Tensor:
    """``[B, 1, N, N]`` bool: all may attend to all, but a query to patches outside its mask."""
    batch, num_tokens = tokens.x.shape[:2]
    others = visible.new_ones(batch, tokens.num_queries, tokens.num_queries + tokens.num_prefix)
    rest = visible.new_ones(batch, num_tokens - tokens.num_queries, num_tokens)
    return torch.cat((torch.cat((others, visible), dim=2), rest), dim=1).unsqueeze(1)
