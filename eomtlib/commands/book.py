"""``study``: every notebook, one after the other, and a page of what came out."""

from __future__ import annotations

import argparse
from pathlib import Path

from papermill import PapermillExecutionError

from eomtlib.commands.study_options import literal
from eomtlib.core.errors import EomtlibError
from eomtlib.report.book import CHAPTERS, run_study
from eomtlib.report.gallery import collect
from eomtlib.study.parameters import resolve_device, resolve_results_dir


def add_options(parser: argparse.ArgumentParser) -> None:
    """Execute the notebooks of the whole study; what is finished is kept and found again."""
    names = [chapter.notebook for chapter in CHAPTERS]
    parser.add_argument("--seeds", default="0", help="of those that train, e.g. 0,1,2")
    parser.add_argument("--only", default="", help=f"of {', '.join(names)}")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--notebooks", default="notebooks", help="folder of their sources")
    parser.add_argument("--results-dir", default="results/runs")
    parser.add_argument(
        "--gallery", default="", help="a folder that gets a copy of all but the weights"
    )
    parser.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter for all notebooks that have it, e.g. -p duration 4",
    )


def run(chosen: argparse.Namespace) -> None:
    """Runs the study, and says where its page is."""
    results_dir = resolve_results_dir(chosen.results_dir)
    try:
        page = run_study(
            Path(chosen.notebooks),
            results_dir=results_dir,
            device=resolve_device(chosen.device),
            seeds=chosen.seeds,
            only=[name for name in chosen.only.split(",") if name],
            parameters={name: literal(text) for name, text in chosen.p},
            say=lambda text: print(text, flush=True),
        )
    except PapermillExecutionError as error:
        raise EomtlibError(
            f"a notebook stopped: {error.ename}: {error.evalue} Its copy under "
            f"{results_dir / 'notebooks'} shows where; run again to go on."
        ) from error
    print(f"Written: {page}")
    if chosen.gallery:
        print(f"Written: {collect(results_dir, Path(chosen.gallery))}")
