"""The command line, a verb each: what the notebooks do, for terminals and clusters."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from eomtlib.errors import EomtlibError
from eomtlib.models.deformable_attention import SAMPLERS
from eomtlib.settings import resolve_results_dir
from eomtlib.speed import speed_table, time_ladder
from eomtlib.tables import save_table
from eomtlib.timing import TIMING_MODES


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb; returns the exit status: 0, or 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m eomtlib", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    for name, (add_options, _) in VERBS.items():
        add_options(
            verbs.add_parser(name, help=add_options.__doc__, description=add_options.__doc__)
        )
    chosen = parser.parse_args(arguments)
    try:
        VERBS[chosen.verb][1](chosen)
    except EomtlibError as error:
        print(f"eomtlib {chosen.verb}: {error}", file=sys.stderr)
        return 2
    return 0


def _benchmark_options(parser: argparse.ArgumentParser) -> None:
    """Time every rung at every size on this machine, beside the papers' figures."""
    parser.add_argument("--sizes", default="", help="the papers' on a GPU, nano on a CPU")
    parser.add_argument("--pretrainings", default="dinov2", help="architectures of the encoder")
    parser.add_argument("--rungs", default="all")
    parser.add_argument("--modes", default="", help=f"of {', '.join(TIMING_MODES)}")
    parser.add_argument(
        "--samplers",
        default="",
        help=f"of {', '.join(SAMPLERS)}, for deformable attention; on a GPU both",
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", help="float32, bfloat16 or float16")
    parser.add_argument("--image-size", type=int, default=0, help="640; our own sizes: 64")
    parser.add_argument("--results-dir", default="results/runs")


def _benchmark(chosen: argparse.Namespace) -> None:
    records = time_ladder(
        sizes=chosen.sizes,
        pretrainings=chosen.pretrainings,
        rungs=chosen.rungs,
        timing_modes=chosen.modes,
        samplers=chosen.samplers,
        device=chosen.device,
        precision=chosen.precision,
        image_size=chosen.image_size or None,
        results_dir=chosen.results_dir,
    )
    table = speed_table(records)
    path = resolve_results_dir(chosen.results_dir) / "tables" / "speed" / "speed"
    written = save_table(table, path)
    print(table.to_string(index=False, na_rep="–", float_format=lambda value: f"{value:.3g}"))
    print(f"Written: {', '.join(str(file) for file in written)}")


VERBS: dict[str, tuple[Callable[..., None], Callable[[argparse.Namespace], None]]] = {
    "benchmark": (_benchmark_options, _benchmark),
}
"""Verb → what adds its options (its docstring is the help), and what it does."""
