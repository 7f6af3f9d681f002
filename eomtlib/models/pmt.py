"""PMT, the Plain Mask Transformer: a frozen encoder and a small plain decoder on its taps.

Cavagnero et al., *Plain Mask Transformer for Image and Video Segmentation with Frozen Vision
Encoders*, CVPR Workshops 2026.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from timm.models.eva import EvaAttention
from torch import Tensor, nn

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import Tokens
from eomtlib.models.encoders import Encoder
from eomtlib.models.parts.batch_norm import BatchNorm
from eomtlib.models.parts.query_blocks import QueryBlockModel
from eomtlib.models.rotary import RescaledRope


class LateralConnection(nn.Module):
    """One tap: batch norm over all tokens, a residual MLP of half the width, a scale per channel.

    Args:
        embed_dim: width D of the tokens.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.norm = BatchNorm(embed_dim, eps=1e-5)
        self.mlp = nn.Sequential(
            nn.Linear(embed_dim, embed_dim // 2), nn.GELU(), nn.Linear(embed_dim // 2, embed_dim)
        )
        self.scale = nn.Parameter(torch.ones(embed_dim))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, N, D]`` → ``[B, N, D]``."""
        x = self.norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.scale * (x + self.mlp(x))


class PlainBlock(nn.Module):
    """A pre-norm block in DINOv3's style: rotary attention, a GELU MLP of width D, LayerScale.

    Args:
        embed_dim: width D of the tokens.
        num_heads: attention heads.
        num_prefix: tokens between queries and patches, which are not rotated.
    """

    def __init__(self, embed_dim: int, num_heads: int, num_prefix: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-5)
        self.attn = EvaAttention(
            embed_dim,
            num_heads,
            qkv_fused=False,  # with a bias on queries and values alone
            num_prefix_tokens=num_prefix,
            scale_norm=False,
            rotate_half=True,
        )
        self.scale1 = nn.Parameter(torch.ones(embed_dim))
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-5)
        self.mlp = nn.Sequential(
            nn.Linear(embed_dim, embed_dim), nn.GELU(), nn.Linear(embed_dim, embed_dim)
        )
        self.scale2 = nn.Parameter(torch.ones(embed_dim))

    def forward(self, tokens: Tokens, attn_mask: Tensor | None) -> Tokens:
        """Runs the block; ``attn_mask`` is bool, True = attend."""
        x = tokens.x
        attended = self.attn(self.norm1(x), rope=tokens.rope, attn_mask=attn_mask)
        x = x + (attended if self.scale1 is None else self.scale1 * attended)
        hidden = self.mlp(self.norm2(x))
        x = x + (hidden if self.scale2 is None else self.scale2 * hidden)
        return tokens.with_x(x)

    def take_layer_scales(self) -> list[tuple[nn.Linear, Tensor]]:
        """Removes LayerScale; the layers whose outputs it multiplied, each with the factor."""
        taken = [(self.attn.proj, self.scale1), (self.mlp[2], self.scale2)]
        self.scale1, self.scale2 = None, None
        return taken


def tap_blocks(depth: int, num_taps: int = 4) -> tuple[int, ...]:
    """The blocks whose outputs are tapped: the last of each quarter of the encoder."""
    return tuple(depth * (tap + 1) // num_taps - 1 for tap in range(num_taps))


def _check_taps(taps: tuple[int, ...] | None, depth: int, lateral_connections: bool) -> None:
    if taps is None:
        return
    if not lateral_connections:
        raise ConfigurationError(
            f"taps={taps} have no use without lateral connections: the decoder then reads the "
            "encoder's last output. Leave taps out."
        )
    ascending = all(low < high for low, high in itertools.pairwise((-1, *taps, depth)))
    if not taps or not ascending:
        raise ConfigurationError(
            f"taps={taps} must name blocks of the encoder, from 0 to {depth - 1}, in ascending "
            "order and each once."
        )


class PMT(QueryBlockModel):
    """A frozen encoder, lateral connections from four of its blocks, and the Plain Mask Decoder.

    The paper builds it with taps, lateral connections and a frozen encoder; the rest is there to
    ask why. Of an encoder that is trained, the blocks behind the last tap are frozen: nothing reads
    them.

    Args:
        encoder: the ViT, frozen or not.
        num_queries: Q.
        num_classes: without "no object".
        query_blocks: blocks of the decoder, 6 in the paper.
        masking: ``annealed`` in the paper.
        taps: indices of the encoder's blocks whose outputs the decoder takes, ascending; the last
            of each quarter when None.
        lateral_connections: False hands the encoder's last output, normalised, to the decoder.

    Raises:
        ConfigurationError: for taps that the encoder does not have, or that nothing reads.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        num_queries: int,
        num_classes: int,
        query_blocks: int = 6,
        masking: str = "annealed",
        taps: tuple[int, ...] | None = None,
        lateral_connections: bool = True,
    ) -> None:
        _check_taps(taps, encoder.depth, lateral_connections)
        super().__init__(
            encoder=encoder,
            num_queries=num_queries,
            num_classes=num_classes,
            query_blocks=query_blocks,
            masking=masking,
        )
        dim = encoder.embed_dim
        self.taps = taps or tap_blocks(encoder.depth)
        if not lateral_connections:
            self.taps = (encoder.depth - 1,)
        self.laterals = nn.ModuleList(
            LateralConnection(dim) if lateral_connections else nn.Identity() for _ in self.taps
        )
        self.blocks = nn.ModuleList(
            PlainBlock(dim, encoder.num_heads, encoder.num_prefix) for _ in range(query_blocks)
        )
        self.decoder_norm = nn.LayerNorm(dim, eps=1e-5)
        self.rope = None
        if not encoder.rope_is_dinov3:
            self.rope = RescaledRope(dim // encoder.num_heads, feat_shape=list(encoder.grid_size))
        encoder.backbone.blocks[self.taps[-1] + 1 :].requires_grad_(False)

    def set_image_size(self, image_size: tuple[int, int]) -> None:
        super().set_image_size(image_size)
        if self.rope is not None:
            self.rope.update_feat_shape(list(self.encoder.grid_size))

    @property
    def reads(self) -> tuple[int, ...]:
        """The blocks that are tapped."""
        return self.taps

    def tokens(self, embedded: Tokens, outputs: Sequence[Tokens]) -> Tokens:
        tapped = (self.encoder.norm(tokens.x) for tokens in outputs)
        x = sum(lateral(tap) for lateral, tap in zip(self.laterals, tapped, strict=True))
        rope = embedded.rope if self.rope is None else self.rope.get_embed()
        return Tokens(x, grid=embedded.grid, num_prefix=embedded.num_prefix, rope=rope)

    def run_query_block(self, index: int, tokens: Tokens, attn_mask: Tensor | None) -> Tokens:
        def block(x: Tensor) -> Tensor:
            return self.blocks[index](tokens.with_x(x), attn_mask).x

        return tokens.with_x(self.encoder.call(block, tokens.x))

    def norm(self, x: Tensor) -> Tensor:
        return self.decoder_norm(x)
