"""The peak of memory that some work takes."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import psutil
import torch

_MIB = 2**20


def peak_so_far(device: torch.device | str) -> float:
    """MiB that tensors took at most on CUDA so far, else the process; as in ``PeakMemory``."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MIB
    return (_process_peak_kib() or psutil.Process().memory_info().rss / 1024) / 1024


class PeakMemory:
    """Context manager that measures the peak of memory in use while it is open.

    On CUDA it is what PyTorch's allocator held for tensors at most. Elsewhere it is the resident
    memory of the whole process, Python and libraries included: the kernel's own peak where it can
    be reset (Linux), else samples taken every 10 ms. Both peaks are reset on entry, so two of these
    must not be open at once.

    Args:
        device: that the work runs on.

    Attributes:
        mib: the peak in MiB; while it is open, so far.
        method: how it was measured.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._final: float | None = None
        self._sampled = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.method = ""

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self.method = "torch.cuda.max_memory_allocated"
        elif _reset_process_peak():
            self.method = "peak resident memory of the process (VmHWM)"
        else:
            self.method = "resident memory of the process, sampled every 10 ms"
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._final = self.mib

    @property
    def mib(self) -> float:
        """The peak in MiB."""
        if self._final is not None:
            return self._final
        if "sampled" in self.method:
            return max(self._sampled, psutil.Process().memory_info().rss) / _MIB
        return peak_so_far(self._device)

    def _sample(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(0.01):
            self._sampled = max(self._sampled, process.memory_info().rss)


def _reset_process_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _process_peak_kib() > 0
    except OSError:
        return False


def _process_peak_kib() -> int:
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if status.is_file() else None
    return int(found[1]) if found else 0
