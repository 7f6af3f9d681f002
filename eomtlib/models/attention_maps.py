"""What attention looks at: its weights, recorded while a model runs.

PyTorch's own override protocol sees every call of its fused attention, in whatever library the call
stands; the weights, which the fused kernels never store, are computed once more beside it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from eomtlib.models.parts.query_blocks import QueryBlockModel


class AttentionRecorder(TorchFunctionMode):
    """Keeps the weights of the last scaled dot-product attentions that run inside the context.

    Args:
        last: how many are kept; None for all.

    Attributes:
        weights: of each call, in order, ``[B, heads, N, M]`` float32, rows summing to 1.
    """

    def __init__(self, last: int | None = None) -> None:
        super().__init__()
        self.weights: deque[Tensor] = deque(maxlen=last)

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self.weights.append(_weights(*args, **kwargs))
        return func(*args, **kwargs)


def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **_: Any,
) -> Tensor:
    if is_causal:
        raise NotImplementedError("no model of the ladder has causal attention")
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    logits = (query.float() * scale) @ key.float().transpose(-1, -2)
    if attn_mask is not None:
        is_bool = attn_mask.dtype == torch.bool
        logits = logits.masked_fill(~attn_mask, -torch.inf) if is_bool else logits + attn_mask
    return logits.softmax(dim=-1)


@torch.inference_mode()
def query_attention(
    model: QueryBlockModel, images: Tensor, *, masked: bool | None = None
) -> list[Tensor]:
    """Where the queries of an EoMT or PMT look in each block that processes them.

    Args:
        model: in eval mode.
        images: ``[B, 3, H, W]``, values 0 to 255.
        masked: as ``SegmentationModel.predict`` takes it.

    Returns:
        For each of these blocks ``[B, Q, rows, columns]``: the weight of every patch, averaged over
        heads. What is missing to 1 goes to other queries and to prefix tokens.
    """
    with AttentionRecorder(model.masking.num_blocks) as recorder:
        model.predict(images, masked=masked)
    rows, columns = model.encoder.grid_size
    return [
        weights.mean(dim=1)[:, : model.num_queries, -rows * columns :].unflatten(2, (rows, columns))
        for weights in recorder.weights
    ]
