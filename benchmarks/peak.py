"""Peak memory of one side of a part, alone in a process of its own."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

from benchmarks.inputs import Options
from eomtlib.core.machine.memory import PeakMemory

SIDES = ("ours", "theirs")


def peaks_of(part: str, options: Options, *arguments: str) -> tuple[float, float]:
    """Peak resident memory in MiB of ours and of the peer's, the whole process each.

    Args:
        part: a module of ``benchmarks.parts`` with ``sides(options, *arguments)``, which returns
            ``compare.Sides``.
        options: handed on.
        arguments: likewise.
    """
    found = []
    for side in SIDES:
        command = [
            sys.executable,
            "-m",
            "benchmarks.peak",
            part,
            side,
            str(options.data),
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(float(done.stdout.splitlines()[-1]))
    return found[0], found[1]


def main(part: str, side: str, data: str, *arguments: str) -> None:
    """Builds one side alone and prints the peak of its second call."""
    module = importlib.import_module(f"benchmarks.parts.{part}")
    sides = module.sides(Options(data=Path(data), seconds=0), *arguments)
    call = getattr(sides, side)()
    call()
    with PeakMemory() as memory:
        call()
    print(memory.mib)


if __name__ == "__main__":
    main(*sys.argv[1:])
