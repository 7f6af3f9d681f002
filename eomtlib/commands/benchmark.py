"""``benchmark``: the speed of the ladder on this machine."""

from __future__ import annotations

import argparse

from eomtlib.core.words import SAMPLERS, TIMING_MODES
from eomtlib.report.tables import save_table
from eomtlib.study.parameters import resolve_results_dir
from eomtlib.study.speed_question import speed_table, time_ladder


def add_options(parser: argparse.ArgumentParser) -> None:
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


def run(chosen: argparse.Namespace) -> None:
    """Times, prints the table and writes it."""
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
