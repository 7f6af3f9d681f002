import time

import pytest
import torch

from eomtlib.core.machine import memory as measuring
from eomtlib.core.machine.memory import PeakMemory


@pytest.mark.parametrize("can_reset", [True, False])
def test_peak_memory_sees_what_was_freed(monkeypatch, can_reset):
    if not can_reset:
        monkeypatch.setattr(measuring, "_reset_process_peak", lambda: False)
    with PeakMemory("cpu") as memory:
        before = memory.mib
        held = torch.ones(512 * 2**18)  # 512 MiB; others may give some back meanwhile
        until = time.monotonic() + 10
        while memory.mib < before + 400 and time.monotonic() < until:
            time.sleep(0.01)
        del held
    assert before + 400 < memory.mib < before + 900
    assert ("sampled" in memory.method) or can_reset
