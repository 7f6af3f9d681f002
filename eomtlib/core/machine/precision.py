"""The number formats of training, evaluation and timing, under one name each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.words import PRECISIONS


def fastest_precision(device: str) -> str:
    """The 16-bit type that the device multiplies faster than float32; that where there is none.

    ``bfloat16`` on GPUs and CPUs that have it, ``float16`` on older GPUs.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    """
    if device == "mps":
        return "float32"
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
def tensor_cores(device: str, precision: str) -> Iterator[None]:
    """Lets a GPU multiply in TF32 what autocast leaves in float32; nothing for ``float32``.

    The authors train so. The setting is PyTorch's own and holds for the process: it is put back.
    """
    if precision == "float32" or not device.startswith("cuda"):
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def resolve_device(device: str) -> str:
    """``auto`` → ``cuda`` where there is one, else ``cpu``; a name is checked.

    ``mps``, Apple's GPUs, is taken, but nothing here has been tried on one.

    Raises:
        ConfigurationError: when the device does not exist on this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    check_choice("device", device.partition(":")[0], ("auto", "cpu", "cuda", "mps"))
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]}); "
            "set it to 'auto' or 'cpu'."
        ) from error
    return device


def resolve_precision(precision: str, kind: str) -> str:
    """``auto`` → what a kind of device, ``cpu``, ``cuda``, ``mps``, trains in; a name is checked.

    Raises:
        ConfigurationError: for a precision that the device does not have.
    """
    check_choice("precision", precision, ("auto", *PRECISIONS))
    if precision == "float16" and kind == "cpu":
        raise ConfigurationError(
            "precision='float16' needs a GPU; on a CPU use 'float32' or 'bfloat16'."
        )
    if precision != "auto":
        return precision
    return fastest_precision("cuda") if kind == "cuda" else "float32"
