"""The number formats of training, evaluation and timing, under one name each."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

PRECISIONS = ("float32", "bfloat16", "float16")


def autocast(device: str, precision: str) -> AbstractContextManager:
    """PyTorch's autocast to a 16-bit type; nothing for ``float32``."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.partition(":")[0], dtype=getattr(torch, precision))
