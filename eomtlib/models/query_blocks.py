"""What EoMT and PMT share: queries that go through plain Transformer blocks with the tokens.

The mask module runs before each of these blocks, where its masks say what the queries may attend
to, and once after the last (EoMT, Sections 3.2 and 3.3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eomtlib.encoders import Encoder
from eomtlib.models.mask_module import MaskModule
from eomtlib.models.masked_attention import Masking, visible_patches
from eomtlib.structures import Predictions, Tokens


class QueryBlockModel(nn.Module):
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
        """Q."""
        return self.queries.shape[0]

    @property
    def size_divisor(self) -> int:
        """What the image's sides must be multiples of."""
        return self.encoder.patch_size

    def set_image_size(self, image_size: tuple[int, int]) -> None:
        """Resamples what depends on the image's height and width."""
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
        """Predictions of every supervised layer, the final one last.

        Args:
            images: ``[B, 3, H, W]``, values 0 to 255.
            mask_draws: uniform numbers ``[B, query_blocks, Q]`` that decide, in mode ``annealed``,
                which queries' masks apply; drawn from torch's generator when None.
        """
        layers: list[tuple[Tensor, Tensor]] = []
        tokens = self._with_queries(images)
        for index in range(self.masking.num_blocks):
            attn_mask = None
            if self.masking.in_training:
                layers.append(self._predict_layer(tokens))
                keep = self.masking.keep(index, tokens.queries, mask_draws)
                attn_mask = _attention_mask(tokens, layers[-1][0], keep)
            tokens = self.run_query_block(index, tokens, attn_mask)
        layers.append(self._predict_layer(tokens))
        mask_logits, class_logits = zip(*layers, strict=True)
        return Predictions(mask_logits, class_logits)

    def predict(self, images: Tensor, *, masked: bool | None = None) -> tuple[Tensor, Tensor]:
        """The final mask and class logits, and nothing else.

        Args:
            images: ``[B, 3, H, W]``, values 0 to 255.
            masked: whether blocks are masked; by default as the model was trained to end up.
        """
        masked = self.masking.in_inference if masked is None else masked
        tokens = self._with_queries(images)
        for index in range(self.masking.num_blocks):
            attn_mask = None
            if masked:
                normed = tokens.with_x(self.norm(tokens.x))
                logits = self.mask_module.mask_logits(normed.queries, normed.patches, tokens.grid)
                attn_mask = _attention_mask(tokens, logits, None)
            tokens = self.run_query_block(index, tokens, attn_mask)
        return self._predict_layer(tokens)

    def _with_queries(self, images: Tensor) -> Tokens:
        return self.tokens(images).with_queries(self.queries.expand(images.shape[0], -1, -1))

    def _predict_layer(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        normed = tokens.with_x(self.norm(tokens.x))
        return self.mask_module(normed.queries, normed.patches, tokens.grid)


def _attention_mask(tokens: Tokens, mask_logits: Tensor, keep: Tensor | None) -> Tensor:
    """``[B, 1, N, N]`` bool: all may attend to all, but a query to patches outside its mask."""
    visible = visible_patches(mask_logits, tokens.grid, keep=keep)
    batch, num_tokens = tokens.x.shape[:2]
    others = visible.new_ones(batch, tokens.num_queries, tokens.num_queries + tokens.num_prefix)
    rest = visible.new_ones(batch, num_tokens - tokens.num_queries, num_tokens)
    return torch.cat((torch.cat((others, visible), dim=2), rest), dim=1).unsqueeze(1)
