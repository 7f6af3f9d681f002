"""The masked-attention Transformer decoder: queries look at the features inside their own masks.

Mask2Former (Cheng et al., CVPR 2022, Section 3.2.1 and Figure 2): cross-attention, self-attention
and a feed-forward network per layer, one scale per layer from coarse to fine and round again. EoMT
(Kerssies et al., CVPR 2025, Section 3.1) also runs it on a single scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eomtlib.core.predictions import MaskLogits, Predictions
from eomtlib.models.parts.masked_attention import Masking, Pass
from eomtlib.models.parts.pixel_decoder import sine_positions


@dataclass(frozen=True)
class DecoderConfig:
    """Widths and depths of the Transformer decoder; the defaults are Mask2Former's.

    Attributes:
        dim: width of queries and features, as the pixel decoder's; a multiple of 4 and of
            ``num_heads``.
        num_layers: decoder layers.
        num_heads: attention heads.
        ffn_dim: hidden width of a layer's feed-forward network.
    """

    dim: int = 256
    num_layers: int = 9
    num_heads: int = 8
    ffn_dim: int = 2048


class Attention(nn.Module):
    """Multi-head attention between two sets of tokens.

    Args:
        dim: width of the tokens.
        num_heads: attention heads.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None = None
    ) -> Tensor:
        """``[B, Q, dim]``, ``[B, N, dim]`` twice, bool ``[B, Q, N]`` → ``[B, Q, dim]``."""
        q, k, v = (
            project(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for project, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        mask = None if visible is None else visible[:, None]
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class DecoderLayer(nn.Module):
    """Cross-attention, self-attention, ReLU feed-forward network; a LayerNorm after each."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.cross_attention = Attention(config.dim, config.num_heads)
        self.cross_attention_norm = nn.LayerNorm(config.dim)
        self.self_attention = Attention(config.dim, config.num_heads)
        self.self_attention_norm = nn.LayerNorm(config.dim)
        self.fc1 = nn.Linear(config.dim, config.ffn_dim)
        self.fc2 = nn.Linear(config.ffn_dim, config.dim)
        self.ffn_norm = nn.LayerNorm(config.dim)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        queries: Tensor,
        query_positions: Tensor,
        features: Tensor,
        feature_positions: Tensor,
        visible: Tensor | None,
    ) -> Tensor:
        """Updates ``[B, Q, dim]`` queries from ``[B, N, dim]`` features."""
        attended = self.cross_attention(
            queries + query_positions, features + feature_positions, features, visible
        )
        queries = self.cross_attention_norm(queries + attended)
        positioned = queries + query_positions
        queries = self.self_attention_norm(
            queries + self.self_attention(positioned, positioned, queries)
        )
        return self.ffn_norm(queries + self.fc2(F.relu(self.fc1(queries))))


class MaskedAttentionDecoder(nn.Module):
    """Learned queries, decoder layers, and the heads that turn queries into classes and masks.

    Args:
        num_queries: Q.
        num_classes: without "no object".
        masking: ``masked``, ``annealed`` or ``unmasked``.
        num_scales: scales of the features, 3, or 1 (then there are no level embeddings).
        config: widths and depths.
    """

    def __init__(
        self,
        *,
        num_queries: int,
        num_classes: int,
        masking: str,
        num_scales: int = 3,
        config: DecoderConfig = DecoderConfig(),
    ) -> None:
        super().__init__()
        dim = config.dim
        self.num_queries = num_queries
        self.query_features = nn.Parameter(torch.randn(num_queries, dim))
        self.query_positions = nn.Parameter(torch.randn(num_queries, dim))
        self.level_embed = nn.Parameter(torch.randn(num_scales, dim)) if num_scales > 1 else None
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(dim)
        self.class_head = nn.Linear(dim, num_classes + 1)
        self.mask_head = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim)
        )
        self.masking = Masking(masking, config.num_layers)

    def forward(
        self, mask_features: Tensor, scales: tuple[Tensor, ...], way: Pass | None = None
    ) -> Predictions:
        """Predictions before each decoder layer, where ``way`` asks for them, and after the last.

        Args:
            mask_features: ``[B, dim, h, w]``.
            scales: each ``[B, dim, h, w]``, coarsest first.
            way: as in training when None.
        """
        way = way or self.masking.training_pass()
        layers: list[tuple[MaskLogits, Tensor]] = []
        features = self._features(scales)
        queries = self.query_features.repeat(mask_features.shape[0], 1, 1)
        for index, layer in enumerate(self.layers):
            feature, positions, grid = features[index % len(features)]
            visible = None
            if way.masked:
                normed = self.norm(queries)
                masks = MaskLogits(mask_features, self.mask_head(normed))
                if not way.final_only:
                    layers.append((masks, self.class_head(normed)))
                keep = self.masking.keep(index, queries, way)
                visible = _never_blind(self.masking(masks, grid, keep))
            queries = layer(queries, self.query_positions, feature, positions, visible)
        normed = self.norm(queries)
        layers.append((MaskLogits(mask_features, self.mask_head(normed)), self.class_head(normed)))
        return Predictions(*zip(*layers, strict=True))

    def _features(self, scales: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor, tuple[int, int]]]:
        """Of each scale: tokens ``[B, N, dim]``, their positions, and the grid they came from."""
        features = []
        for index, scale in enumerate(scales):
            grid = (scale.shape[2], scale.shape[3])
            tokens = scale.flatten(2).transpose(1, 2)
            if self.level_embed is not None:
                tokens = tokens + self.level_embed[index]
            positions = sine_positions(grid, scale.shape[1], device=scale.device)
            features.append((tokens, positions.to(scale.dtype), grid))
        return features


def _never_blind(visible: Tensor) -> Tensor:
    """``[B, Q, N]`` bool; a query whose mask is empty on this grid sees all of it."""
    return visible | ~visible.any(dim=-1, keepdim=True)
