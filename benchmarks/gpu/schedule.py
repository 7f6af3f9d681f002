"""Parts in the order of their worth, each kept as soon as it is there, as far as time reaches."""

from __future__ import annotations

import gc
import json
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from eomtlib.core.files.atomic_files import write_file
from eomtlib.core.machine.environment import environment


class OutOfTimeError(BaseException):
    """Raised in the middle of whatever runs; no ``except Exception`` swallows it."""


@dataclass(frozen=True)
class Part:
    """One thing to measure.

    Attributes:
        name: of its file.
        kind: parts of one kind take about as long as each other.
        seconds: estimate for the first of its kind, start and compilation included.
        run: measures it; JSON values, ``says`` a line for people.
    """

    name: str
    kind: str
    seconds: float
    run: Callable[[], dict[str, Any]]


def run_parts(
    parts: Sequence[Part],
    folder: Path,
    *,
    until: float,
    device: str,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Runs what has no result in a folder yet and is expected to end in time.

    What failed is written down, and tried again by the next call; so is what was cut off, for it
    took more than a minute and four times what was expected, or all that was left.

    Args:
        parts: from the most to the least valuable.
        folder: a file ``NAME.json`` for each.
        until: when to stop, on ``clock``.
        device: that is measured.
        clock: seconds.

    Returns:
        The names of the parts that there was no time for.
    """
    expected: dict[str, float] = {}
    unreached = []
    for part in parts:
        path = folder / f"{part.name}.json"
        if path.is_file() and "error" not in json.loads(path.read_text()):
            continue
        left = until - clock()
        needed = expected.get(part.kind, part.seconds)
        if needed > left:
            unreached.append(part.name)
            continue
        began = clock()
        try:
            with _at_most(min(left, max(60.0, 4 * needed))):
                found = part.run()
        except OutOfTimeError:
            found = {"error": "out of time", "says": f"cut off after {clock() - began:.0f} s"}
        except Exception as error:
            trace = "".join(traceback.format_exception(error, limit=-6))[-3000:]
            line = (str(error).strip().splitlines() or [""])[0][:160]
            found = {"error": type(error).__name__, "trace": trace, "says": f"FAILED: {line}"}
        took = clock() - began
        if "error" not in found:
            expected[part.kind] = 1.2 * took
        head = {"name": part.name, "created": datetime.now(UTC).isoformat(timespec="microseconds")}
        head |= {"took_s": round(took, 1), "environment": asdict(environment(device))}
        write_file(path, json.dumps(head | found, indent=1, default=str) + "\n")
        print(f"{part.name}: {found.get('says', 'done')} ({took:.0f} s)", flush=True)
        _let_go()
    return unreached


def results(folder: Path) -> list[dict[str, Any]]:
    """What all files hold, the oldest first."""
    found = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return sorted(found, key=lambda result: result["created"])


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Interrupts what runs within, between two operations of Python."""

    def ring(*_: object) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _let_go() -> None:
    """Frees compiled code and models: one code object serves several rungs."""
    torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
