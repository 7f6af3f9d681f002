"""The number formats of training, evaluation and timing, under one name each."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


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
