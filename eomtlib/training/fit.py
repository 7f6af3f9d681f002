"""A training of a segmentation model: its end, its curves, its length and the time of a step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from eomtlib.core import distributed
from eomtlib.core.atomic_files import write_file
from eomtlib.core.precision import autocast
from eomtlib.training.module import SegmentationModule
from eomtlib.training.optimization import build_optimizer
from eomtlib.training.trainer import FitOptions, train_to_end

PLAN_FILE = "plan.json"

TRAINING_METHOD = 1
"""Raised with every change of what a training of one key comes to, but for rounding."""


@dataclass(frozen=True)
class FitResult:
    """What a finished run tells.

    Attributes:
        seconds: spent in steps, over all sittings.
        final_loss: mean of the last tenth of the logged losses, per predicted layer.
        surplus_segments: segments that had no query left, over the run.
        resumes: how often it went on after an interruption.
    """

    seconds: float
    final_loss: float
    surplus_segments: int
    resumes: int


def fit(module: SegmentationModule, options: FitOptions) -> FitResult:
    """Trains to the end of the plan, from the run's resume file where there is one.

    Raises:
        CheckpointError, KeyboardInterrupt: as ``train_to_end``.
    """
    state = train_to_end(module, options, steps=module.plan.steps, loggers=build_loggers(options))
    return FitResult(
        seconds=state.total_seconds,
        final_loss=distributed.on_first(lambda: _final_loss(options.run_dir)),
        surplus_segments=sum(distributed.gathered(module.surplus_segments)),
        resumes=state.resumes,
    )


def _final_loss(run_dir: Path) -> float:
    losses = read_curves(run_dir)["loss"].dropna()
    return float(losses.tail(max(1, len(losses) // 10)).mean())


LOGGERS: dict[str, Callable[[str, str], Logger]] = {
    "csv": lambda where, _: CSVLogger(where, name="logs", flush_logs_every_n_steps=1),
    "tensorboard": lambda where, _: TensorBoardLogger(where, name="tensorboard"),
    "mlflow": lambda where, run: MLFlowLogger(
        "eomtlib", run_name=run, tracking_uri=f"file:{where}/mlflow"
    ),
    "wandb": lambda where, run: WandbLogger(name=run, project="eomtlib", save_dir=where),
}
"""Folder and name of a run → a logger; a new CSV version for each sitting of a run."""


def build_loggers(options: FitOptions) -> list[Logger]:
    """One Lightning logger for each name, and ``csv`` always: curves are read from it."""
    names = options.loggers if "csv" in options.loggers else ("csv", *options.loggers)
    return [LOGGERS[name](str(options.run_dir), options.name) for name in names]


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
    curves = pd.concat(frames)
    return curves.drop(columns=[c for c in curves if c == "epoch"]).reset_index(drop=True)


def trained_steps(run_dir: Path) -> int:
    """How far a run is, as far as that is logged."""
    steps = read_curves(run_dir)["step"]
    return int(steps.iloc[-1]) + 1 if len(steps) else 0


def saved_steps(run_dir: Path) -> int | None:
    """The number of steps that an interrupted run had decided on, if it had."""
    try:
        return int(json.loads((run_dir / PLAN_FILE).read_bytes())["steps"])
    except (OSError, ValueError, LookupError, TypeError):  # none, or damaged
        return None


def save_steps(run_dir: Path, steps: int) -> None:
    """Remembers the number of steps, so that minutes are converted once for a run."""
    text = json.dumps({"steps": steps})
    write_file(run_dir / PLAN_FILE, text)


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
