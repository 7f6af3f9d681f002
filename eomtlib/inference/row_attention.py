"""Attention of 16 bits on CPUs, some rows of scores at a time.

PyTorch's fused attention multiplies 16-bit numbers on CPUs no faster than those of 32 bits, while
plain matrix products are 2.5 times as fast. So here attention is two products with a softmax
between them, for so few queries and heads at a time that their scores stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from eomtlib.core.machine.cpu_products import DEFAULT, products
from eomtlib.core.machine.precision import autocast

MIN_TOKENS = 256
"""With fewer, the calls cost more than the products spare."""

_ROWS_AT_ONCE = 256
_SCORES_AT_ONCE = 2**22
"""Scores of some heads that are held at a time: 8 MiB."""


class RowAttention(TorchFunctionMode):
    """Within it, attention runs as ``attention_in_rows`` where that is faster.

    That is without gradients, in bfloat16 on a CPU, without a mask and from ``MIN_TOKENS`` tokens
    on. Everything else runs as it would without; so do compiled models.
    """

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            func = _attention
        return func(*args, **kwargs or {})


# An operator, so that whoever looks which kernel attention takes sees this one.
@torch.library.custom_op("eomtlib::attention_in_rows", mutates_args=())
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
    num_keys = key.shape[2]
    # Contiguous, for products read columns that lie apart at half the speed.
    query = (query * query.shape[-1] ** -0.5).contiguous()
    key = (key - key.mean(2, keepdim=True)).contiguous()
    out = torch.empty_like(query)
    rows_at_once = min(query.shape[2], _ROWS_AT_ONCE)
    heads_at_once = max(1, _SCORES_AT_ONCE // (rows_at_once * num_keys))
    # One memory for all scores: what is freed and asked for again is not in the cache.
    memory = query.new_empty(min(heads_at_once, query.shape[:2].numel()) * rows_at_once * num_keys)
    heads = (whole.flatten(0, 1).split(heads_at_once) for whole in (query, key, value, out))
    for queries, keys, values, attended in zip(*heads, strict=True):
        keys, values = keys.transpose(1, 2), values.contiguous()
        parts = queries.split(rows_at_once, 1), attended.split(rows_at_once, 1)
        for rows, found in zip(*parts, strict=True):
            scores = memory[: rows.shape[:2].numel() * num_keys].view(*rows.shape[:2], num_keys)
            torch.bmm(rows, keys, out=scores)
            torch.softmax(scores, -1, out=scores)
            torch.bmm(scores, values, out=found)
    return out


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *others: Any,
    **options: Any,
) -> Tensor:
    """PyTorch's attention, in rows where that is faster and all other options are off."""
    if (
        attn_mask is None
        and not any((*others, *options.values()))
        and query.device.type == "cpu"
        and query.dtype == key.dtype == value.dtype == torch.bfloat16
        and query.dim() == 4
        and query.shape[2] >= MIN_TOKENS
        and query.shape[:2] == key.shape[:2]
        and query.shape[3] == key.shape[3]
        and key.shape == value.shape
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    ):
        return attention_in_rows(query, key, value)
    return F.scaled_dot_product_attention(query, key, value, attn_mask, *others, **options)


@contextmanager
def autocast_inference(device: str, precision: str, *, multiplied: str = DEFAULT) -> Iterator[None]:
    """``autocast`` in PyTorch's inference mode, with attention as the device does it fastest.

    Args:
        device: that the model is on.
        precision: of ``words.PRECISIONS``.
        multiplied: by what, as ``core.machine.cpu_products.choose_products`` says.
    """
    # A mode costs a call's time in every operation: too much on a GPU, which has no use for it.
    suits = device.startswith("cpu") and precision == "bfloat16"
    attention = RowAttention() if suits else nullcontext()
    with (
        torch.inference_mode(),
        autocast(device, precision),
        products(multiplied),
        attention,
    ):
        yield
