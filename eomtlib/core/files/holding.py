"""One process at a time: who comes second says who is at it, and waits or does something else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import SoftFileLease, Timeout

from eomtlib.core.machine import distributed

HELD_FILE = "held.lock"
"""In a run's folder while a process is at it."""

HEARTBEAT_S = 30.0
MISSED = 5
"""Heartbeats, after which a process of another host is taken to be gone; of this host it is seen
at once."""

_LOOKS_EVERY_S = 1.0


@contextmanager
def held(
    path: Path, *, name: str, say: Callable[[str], None], wait: bool, alone: bool = False
) -> Iterator[bool]:
    """Holds a file that says which process of which host is at something.

    Processes that were started together hold it together.

    Args:
        path: of the file; it is there while it is held.
        name: of what is held, for the notice that another process is at it.
        say: is given that notice.
        wait: whether to wait until it can be had.
        alone: whether this process asks for itself while those it was started with wait for it.

    Yields:
        Whether it is held now; False where another process is at it, and not to be waited for.
    """
    lease = SoftFileLease(
        path, lease_duration=HEARTBEAT_S * MISSED, heartbeat_interval=HEARTBEAT_S, timeout=0
    )

    def take() -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lease.acquire()
            return ""
        except Timeout:
            owner = lease.owner
            return f"process {owner.pid} on {owner.hostname}" if owner else "another process"

    holder = distributed.on_first(take, alone=alone)
    if holder:
        say(f"{name}: {holder} is at it; {'waiting for it' if wait else 'left to it for now'}.")
    while holder and wait:
        time.sleep(_LOOKS_EVERY_S)
        holder = distributed.on_first(take, alone=alone)
    try:
        yield not holder
    finally:
        if lease.is_locked:
            lease.release()
