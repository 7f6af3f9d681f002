"""``fit``: training and evaluation of rungs, on one device or many."""

from __future__ import annotations

import argparse
from typing import Any

from eomtlib.commands.study_options import (
    add_configuration,
    read_configuration,
    write_configuration,
)
from eomtlib.core import distributed
from eomtlib.study.sweep import Sweep, grid


def add_options(parser: argparse.ArgumentParser) -> None:
    """Train and evaluate rungs; under torchrun or srun, a process for each device, together."""
    add_configuration(parser)


def run(chosen: argparse.Namespace) -> None:
    """Trains and evaluates what is not finished, and says what came out."""
    parameters = read_configuration(chosen)
    if chosen.print_config:
        print(write_configuration(parameters), end="")
        return
    distributed.join(parameters["device"])
    try:
        _fit(**parameters)
    finally:
        distributed.leave()


def _fit(*, rungs: str, seeds: str, results_dir: str, **parameters: Any) -> None:
    points = grid(seed=seeds, rung=rungs)
    sweep = Sweep(points, results_dir=results_dir, **parameters)
    if distributed.is_first():
        print(sweep.plan().text, flush=True)
    for result in sweep.learn():
        if distributed.is_first():
            metrics = result.evaluation.metrics
            shown = ", ".join(f"{name} {value:.2f}" for name, value in metrics.items())
            print(f"{result.rung}, seed {result.training.seed}: {shown}")
            print(f"Written: {result.run_dir / 'model'}", flush=True)
