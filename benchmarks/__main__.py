"""``python -m benchmarks``: times every part and writes what came out; ``gpu``: see there."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.compare import Comparison
from benchmarks.figure import plot_curves
from benchmarks.inputs import Options, find_data
from eomtlib.core.errors import ConfigurationError, EomtlibError
from eomtlib.core.escaping import for_markdown
from eomtlib.core.files.atomic_files import write_atomically, write_file
from eomtlib.core.machine.environment import environment
from eomtlib.report.plots import save_figure
from eomtlib.report.tables import save_table

PARTS = ("loading", "loss", "postprocessing", "forward", "end_to_end", "training_step", "scaling")


def main() -> None:
    """Runs the chosen parts one after the other; each is written as soon as it is done."""
    if sys.argv[1:2] == ["gpu"]:
        importlib.import_module("benchmarks.gpu.command").main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--data", default="", help="a folder in COCO's layout; or EOMTLIB_COCO")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each comparison or curve")
    parser.add_argument("--out", default="results/runs/benchmarks", help="where records go")
    parser.add_argument(
        "--show", action="store_true", help="time nothing: table and figure of the records in --out"
    )
    chosen = parser.parse_args()
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    out = Path(chosen.out)
    try:
        if not chosen.show:
            _time(chosen.parts, Options(data=find_data(chosen.data), seconds=chosen.seconds), out)
        _show(out)
    except EomtlibError as error:
        parser.error(str(error))


def _time(parts: Sequence[str], options: Options, out: Path) -> None:
    number = 0
    for name in parts:
        for comparison in importlib.import_module(f"benchmarks.parts.{name}").run(options):
            _write(comparison, out / "records" / f"{name}-{number}.json")
            number += 1
            print(_sentence(comparison), flush=True)


def _show(out: Path) -> None:
    """Writes the table, and the figure of curves, of all records in a folder."""
    paths = sorted((out / "records").glob("*.json"), key=lambda path: int(path.stem.split("-")[1]))
    if not paths:
        raise ConfigurationError(f"{out / 'records'} has no records; time something first.")
    contents = [json.loads(path.read_text()) for path in paths]
    found = [_read(content) for content in contents]
    rows = pd.DataFrame([_row(number, each) for number, each in enumerate(found, start=1)])
    said = [f"{number}. {for_markdown(f.agreement)}\n" for number, f in enumerate(found, start=1)]
    machines = {", ".join(f"{k} {v}" for k, v in c["environment"].items() if v) for c in contents}
    _, page, _ = save_table(rows, out / "summary", note="; ".join(sorted(machines)))
    write_file(
        page, page.read_text() + f"\nHow the outputs of each row compare:\n\n{''.join(said)}"
    )
    curves = [comparison for comparison in found if comparison.at is not None]
    if curves:
        save_figure(plot_curves(curves), out / "scaling")


def _read(content: Mapping[str, Any]) -> Comparison:
    own = {f.name: content[f.name] for f in fields(Comparison)}
    for name in ("at", "peak_mib"):
        own[name] = None if own[name] is None else tuple(own[name])
    return Comparison(**own | {"samples": tuple(map(tuple, own["samples"]))})


def _row(number: int, found: Comparison) -> dict[str, object]:
    ours, theirs = found.medians
    memory = found.peak_mib
    ends = " to ".join(map(_times, found.interval))
    return {
        "row": number,
        "part": f"{_what(found)} ({found.unit})",
        "beside": found.peer,
        "times as fast": f"{_times(found.ratio)} ({ends})",
        "ours (ms)": f"{1000 * ours:.3g}" if ours < 1 else f"{1000 * ours:.0f}",
        "theirs (ms)": f"{1000 * theirs:.3g}" if theirs < 1 else f"{1000 * theirs:.0f}",
        "peak memory, ours by theirs": "–" if memory is None else f"{memory[0] / memory[1]:.2f}",
    }


def _times(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}" if ratio >= 2 else f"{ratio:.2f}"


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


if __name__ == "__main__":
    main()
