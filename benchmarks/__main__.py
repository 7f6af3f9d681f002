"""``python -m benchmarks``: times every part and writes what came out."""

from __future__ import annotations

import argparse
import importlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from benchmarks.compare import Comparison
from benchmarks.figure import plot_curves
from benchmarks.inputs import Options, find_data
from eomtlib.core.atomic_files import write_atomically
from eomtlib.core.environment import environment
from eomtlib.core.errors import EomtlibError
from eomtlib.report.plots import save_figure
from eomtlib.report.tables import save_table

PARTS = ("loading", "loss", "postprocessing", "forward", "end_to_end", "training_step", "scaling")


def main() -> None:
    """Runs the chosen parts one after the other; each is written as soon as it is done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--data", default="", help="a folder in COCO's layout; or EOMTLIB_COCO")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each comparison or curve")
    parser.add_argument("--out", default="results/runs/benchmarks", help="where records go")
    chosen = parser.parse_args()
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    try:
        options = Options(data=find_data(chosen.data), seconds=chosen.seconds)
        out = Path(chosen.out)
        found: list[Comparison] = []
        for name in chosen.parts:
            for comparison in importlib.import_module(f"benchmarks.parts.{name}").run(options):
                _write(comparison, out / f"{name}-{len(found)}.json")
                found.append(comparison)
                print(_sentence(comparison), flush=True)
        save_table(pd.DataFrame([_row(each) for each in found]), out / "summary", note=_machine())
        curves = [comparison for comparison in found if comparison.at is not None]
        if curves:
            save_figure(plot_curves(curves), out / "scaling")
    except EomtlibError as error:
        parser.error(str(error))


def _row(found: Comparison) -> dict[str, object]:
    ours, theirs = found.medians
    low, high = found.interval
    memory = found.peak_mib
    return {
        "part": _what(found),
        "beside": found.peer,
        "ratio": found.ratio,
        "95 % interval": f"{low:.2f} to {high:.2f}",
        "aimed at": "–" if found.bar is None else f"{found.bar:g}",
        "ours (ms)": 1000 * ours,
        "theirs (ms)": 1000 * theirs,
        "for": found.unit,
        "peak memory, ours by theirs": "–" if memory is None else f"{memory[0] / memory[1]:.2f}",
        "pairs": len(found.samples),
        "outputs": found.agreement,
    }


def _sentence(found: Comparison) -> str:
    ours, theirs = found.medians
    low, high = found.interval
    aim = "" if found.bar is None else f", aimed at {found.bar:g}"
    memory = ""
    if found.peak_mib is not None:
        memory = f"; peak memory {found.peak_mib[0]:.0f} and {found.peak_mib[1]:.0f} MiB"
    return (
        f"{_what(found)}: {found.ratio:.2f}× ({low:.2f} to {high:.2f}{aim}) beside {found.peer}: "
        f"{1000 * ours:.1f} and {1000 * theirs:.1f} ms for {found.unit}{memory}; {found.agreement}."
    )


def _what(found: Comparison) -> str:
    return found.part if found.at is None else "{}, {}: {}".format(found.part, *found.at)


def _write(found: Comparison, path: Path) -> None:
    content = asdict(found) | {
        "kind": "comparison",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": asdict(environment("cpu")),
        "ratio": found.ratio,
        "interval": found.interval,
    }
    text = json.dumps(content, indent=1).encode() + b"\n"
    write_atomically(path, lambda file: file.write(text))


def _machine() -> str:
    found = asdict(environment("cpu"))
    return ", ".join(f"{name} {value}" for name, value in found.items() if value)


if __name__ == "__main__":
    main()
