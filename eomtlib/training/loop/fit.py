"""A training of a segmentation model: its end, its curves, its length and the time of a step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from eomtlib.core.machine import distributed
from eomtlib.core.machine.cpu_products import products
from eomtlib.core.machine.precision import autocast
from eomtlib.training.loop.loggers import close_loggers, open_loggers
from eomtlib.training.loop.segmentation_module import SegmentationModule
from eomtlib.training.loop.trainer import FitOptions, train_to_end
from eomtlib.training.optimization import build_optimizer

TRAINING_METHOD = 1
"""Raised with every change of what a training of one key comes to, but for rounding."""


@dataclass(frozen=True)
class FitResult:
    """What a finished run tells.

    Attributes:
        seconds: spent in steps, over all sittings.
        validation_s: spent in validation, likewise.
        final_loss: mean of the last tenth of the logged losses, per predicted layer.
        surplus_segments: segments that had no query left, over the run.
        skipped_steps: steps left out because their gradient was not finite.
        resumes: how often it went on after an interruption.
        steps: done; fewer than planned where validation ended it.
        best: step and figure of the best validated weights; empty without validation.
    """

    seconds: float
    validation_s: float
    final_loss: float
    surplus_segments: int
    skipped_steps: int
    resumes: int
    steps: int
    best: dict[str, float]


def fit(module: SegmentationModule, options: FitOptions) -> FitResult:
    """Trains to the end of the plan, from the run's resume file where there is one.

    Raises:
        CheckpointError, KeyboardInterrupt: as ``train_to_end``.
    """
    loggers = open_loggers(
        options.loggers, run_dir=options.run_dir, name=options.name, config=options.config
    )
    try:
        state, validation = train_to_end(module, options, steps=module.plan.steps, loggers=loggers)
    finally:
        close_loggers(loggers)
    validating = validation.seconds if validation else 0.0
    return FitResult(
        seconds=state.total_seconds - validating,
        validation_s=validating,
        final_loss=distributed.on_first(lambda: _final_loss(options.run_dir)),
        surplus_segments=sum(distributed.gathered(module.surplus_segments)),
        skipped_steps=module.skipped_steps,
        resumes=state.resumes,
        steps=module.global_step,
        best=validation.best if validation else {},
    )


def log_figures(options: FitOptions, figures: Mapping[str, float], *, step: int) -> None:
    """Tells the loggers what a finished run was evaluated to; called on the first process alone."""
    others = tuple(name for name in options.loggers if name != "csv")
    if not others:
        return
    loggers = open_loggers(
        others, run_dir=options.run_dir, name=options.name, config=options.config, alone=True
    )
    for logger in loggers:
        logger.log_metrics({f"final_{name}": value for name, value in figures.items()}, step=step)
    close_loggers(loggers)


def _final_loss(run_dir: Path) -> float:
    losses = read_curves(run_dir)["loss"].dropna()
    return float(losses.tail(max(1, len(losses) // 10)).mean())


def read_curves(run_dir: Path) -> pd.DataFrame:
    """The logged values of a run over all its sittings, one row per step; later sittings win."""
    sittings = sorted(
        (run_dir / "logs").glob("version_*/metrics.csv"),
        key=lambda path: int(path.parent.name.removeprefix("version_")),
    )
    frames: list[pd.DataFrame] = []
    for path in sittings:
        frame = pd.read_csv(path) if path.stat().st_size else pd.DataFrame({"step": []})
        # A kill may have cut the last line short, and with it the number of its step.
        frame = frame[frame["step"].notna() & (frame["step"] == frame["step"].cummax())]
        if len(frame):
            frames = [older[older["step"] < frame["step"].iloc[0]] for older in frames] + [frame]
    if not frames:
        return pd.DataFrame({"step": [], "loss": []})
    # What is validated comes in a line of its own.
    curves = pd.concat(frames).groupby("step", as_index=False).first()
    return curves.drop(columns=[c for c in curves if c == "epoch"]).reset_index(drop=True)


def trained_steps(run_dir: Path) -> int:
    """How far a run is, as far as that is logged."""
    steps = read_curves(run_dir)["step"]
    return int(steps.iloc[-1]) + 1 if len(steps) else 0


def measure_step(
    module: SegmentationModule, *, device: str, precision: str, repeats: int = 3
) -> float:
    """Seconds of one training step as ``fit`` does it, after a warm-up of two.

    The model's weights are left changed; the caller builds it anew afterwards.
    """
    module.to(device).train()
    optimizer, _ = build_optimizer(module.model, module.recipe.optimizer, total_steps=repeats + 2)
    times = []
    for batch in module.make_loader(steps=repeats + 2, first_step=0, rank=0, world_size=1):
        start = time.perf_counter()
        for part in batch.to(device).split(module.plan.accumulation):
            encoder = module.model.encoder
            with products(encoder.products(device, precision, batch_size=len(part))):
                with autocast(device, precision):
                    predictions = module.model(part.images)
                    generators = [torch.Generator(device).manual_seed(i) for i in range(len(part))]
                    total = module.loss(predictions, part.segments, generators=generators).total
                total.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device != "cpu":
            torch.accelerator.synchronize(device)
        times.append(time.perf_counter() - start)
    return sorted(times[2:])[repeats // 2]
