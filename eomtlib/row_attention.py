"""Attention of 16 bits on CPUs, some rows of scores at a time.

PyTorch's fused attention multiplies 16-bit numbers on CPUs no faster than those of 32 bits, while
plain matrix products are 2.5 times as fast. So here attention is two products with a softmax
between them, for as many queries at a time as leave the scores in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

MIN_TOKENS = 256
"""With fewer, the calls cost more than the products spare."""

_SCORES_AT_ONCE = 2**21


class RowAttention(TorchFunctionMode):
    """Within it, attention runs as ``attention_in_rows`` where that is faster.

    That is without gradients, in bfloat16 on a CPU, without a mask and from ``MIN_TOKENS`` tokens
    on. Everything else runs as it would without; so do compiled models.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is F.scaled_dot_product_attention and _suits(*args, **kwargs or {}):
            return attention_in_rows(*args[:3])
        return func(*args, **kwargs or {})


def attention_in_rows(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention of all queries to all keys.

    Scores are rounded to the type of the inputs, as in attention that is not fused. What all keys
    have in common adds the same to all scores of a query, which the softmax takes away again: it is
    taken away before, so that rounding is relative to what tells the keys apart.

    Args:
        query: ``[B, heads, N, D]``.
        key: ``[B, heads, M, D]``.
        value: ``[B, heads, M, D]``.

    Returns:
        ``[B, heads, N, D]``.
    """
    shape, num_keys = query.shape, key.shape[2]
    # Contiguous, for products read columns that lie apart at half the speed.
    query = (query * shape[-1] ** -0.5).flatten(0, 1).contiguous()
    key = (key - key.mean(2, keepdim=True)).flatten(0, 1).contiguous().transpose(1, 2)
    value = value.flatten(0, 1).contiguous()
    out = torch.empty_like(query)
    rows_at_once = max(1, min(shape[2], _SCORES_AT_ONCE // (len(query) * num_keys)))
    # One memory for all scores: what is freed and asked for again is not in the cache.
    memory = query.new_empty(len(query) * rows_at_once * num_keys)
    for rows, attended in zip(
        query.split(rows_at_once, 1), out.split(rows_at_once, 1), strict=True
    ):
        scores = memory[: rows.shape[:2].numel() * num_keys].view(*rows.shape[:2], num_keys)
        torch.bmm(rows, key, out=scores)
        torch.softmax(scores, -1, out=scores)
        torch.bmm(scores, value, out=attended)
    return out.view(shape)


def _suits(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **others: Any,
) -> bool:
    return (
        query.device.type == "cpu"
        and query.dtype == key.dtype == value.dtype == torch.bfloat16
        and query.dim() == 4
        and query.shape[2] >= MIN_TOKENS
        and attn_mask is None
        and not (dropout_p or is_causal or any(others.values()))
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )
