"""Which library multiplies float32 matrices on a CPU.

PyTorch leaves them to MKL, which does without AVX-512 on AMD's CPUs. oneDNN, in the same PyTorch,
uses it: 240 GFLOP/s a core where MKL does 115 (EPYC, PyTorch 2.15). PyTorch asks it where float32
may be rounded to bfloat16 on the way; a CPU without AMX has nothing that rounds, and the arithmetic
stays float32. As the choice decides the last digits, nothing is raced: the table is this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from eomtlib.core.machine.environment import device_name

DEFAULT = "default"
ONEDNN = "oneDNN"
ONEDNN_UNFUSED = "oneDNN, attention unfused"

_MIN_VALUES = 2**16
"""Values in a layer of which on the calls of oneDNN cost less than its products spare."""
_MIN_FUSED = 384
"""Tokens of which on PyTorch's fused attention has products large enough for oneDNN."""


def choose_products(
    device: str, precision: str, *, batch_size: int, num_tokens: int, width: int
) -> str:
    """What multiplies the matrices of a ViT: ``default``, ``oneDNN``, or that with plain attention.

    Args:
        device: ``cpu``, ``cuda``, ...; only on CPUs there is a choice.
        precision: only for ``float32``.
        batch_size: images at once.
        num_tokens: of an image.
        width: of a token.
    """
    values = batch_size * num_tokens * width
    if device != "cpu" or precision != "float32" or values < _MIN_VALUES or not _onednn_is_better():
        return DEFAULT
    return ONEDNN if num_tokens >= _MIN_FUSED else ONEDNN_UNFUSED


@contextmanager
def products(choice: str) -> Iterator[None]:
    """Multiplies by a choice of ``choose_products``; by the default where oneDNN would round.

    The settings are PyTorch's own and hold for the process: they are put back.
    """
    with _set(choice if choice == DEFAULT or _onednn_is_better() else DEFAULT):
        yield


@contextmanager
def _set(choice: str) -> Iterator[None]:
    library, fused = torch.backends.mkldnn.matmul, torch.backends.cuda.flash_sdp_enabled()
    precision = library.fp32_precision
    library.fp32_precision = "none" if choice == DEFAULT else "bf16"
    # By its name CUDA's, but for CPUs as well.
    torch.backends.cuda.enable_flash_sdp(choice != ONEDNN_UNFUSED)
    try:
        yield
    finally:
        library.fp32_precision = precision
        torch.backends.cuda.enable_flash_sdp(fused)


@cache
def _onednn_is_better() -> bool:
    """Whether the CPU is one for which it was measured, and nothing is rounded there."""
    has = torch.cpu.get_capabilities()
    if "AMD" not in device_name("cpu") or not has.get("avx512_f") or has.get("amx_bf16"):
        return False
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(128, 128, generator=generator) for _ in range(2))
    with _set(ONEDNN):
        found = left @ right
    # Rounded to bfloat16, products are wrong in the third digit.
    return bool(torch.allclose(found.double(), left.double() @ right.double(), rtol=1e-5))
