"""The number formats of training, evaluation and timing, under one name each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from eomtlib.row_attention import RowAttention

PRECISIONS = ("float32", "bfloat16", "float16")


def fastest_precision(device: str) -> str:
    """The 16-bit type that the device multiplies faster than float32; that where there is none.

    ``bfloat16`` on GPUs and CPUs that have it, ``float16`` on older GPUs.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``.
    """
    if device.partition(":")[0] == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    capabilities = torch.cpu.get_capabilities()
    # As PyTorch names them on x86 and on Arm.
    has_bfloat16 = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return "bfloat16" if has_bfloat16 else "float32"


def autocast(device: str, precision: str) -> AbstractContextManager:
    """PyTorch's autocast to a 16-bit type; nothing for ``float32``."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.partition(":")[0], dtype=getattr(torch, precision))


@contextmanager
def autocast_inference(device: str, precision: str) -> Iterator[None]:
    """``autocast`` in PyTorch's inference mode, with attention as the device does it fastest."""
    # A mode costs a call's time in every operation: too much on a GPU, which has no use for it.
    suits = device.startswith("cpu") and precision == "bfloat16"
    attention = RowAttention() if suits else nullcontext()
    with torch.inference_mode(), autocast(device, precision), attention:
        yield
