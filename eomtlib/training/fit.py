"""Runs a training with Lightning: precision, logs, checkpoints that survive a kill, resumption."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)
from lightning.pytorch.strategies import DDPStrategy

from eomtlib.core import distributed
from eomtlib.core.atomic_files import write_file
from eomtlib.core.precision import autocast
from eomtlib.training.duration import parse_duration
from eomtlib.training.module import SegmentationModule
from eomtlib.training.optimization import build_optimizer
from eomtlib.training.resuming import (
    RESUME_FILE,
    AtomicCheckpointIO,
    Checkpoints,
    RunState,
)

_RANK_ZERO = "lightning.pytorch.utilities.rank_zero"
_LIGHTNING_PRECISION = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


@dataclass(frozen=True)
class FitOptions:
    """How a run is executed; none of it changes what is learned but by rounding.

    Attributes:
        run_dir: logs and the resumable checkpoint go there.
        device: ``cpu``, ``cuda``, ...
        precision: ``float32``, ``bfloat16`` or ``float16``.
        checkpoint_every: as ``parse_duration`` reads it, minutes or steps.
        loggers: names of ``settings.LOGGERS``.
        progress: whether a progress bar is shown.
        name: of the run, for the loggers.
    """

    run_dir: Path
    device: str
    precision: str
    checkpoint_every: str
    loggers: tuple[str, ...] = ("csv",)
    progress: bool = True
    name: str = "run"


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
    """Trains to the end of the plan, from the run's last checkpoint where there is one."""
    resume = options.run_dir / RESUME_FILE
    if distributed.is_first():
        for stale in options.run_dir.glob(f".{RESUME_FILE}.*.tmp"):
            stale.unlink()  # left by a kill in the middle of a checkpoint
    state = RunState()
    resumes = distributed.on_first(resume.is_file)
    steps = module.plan.steps
    with _quiet_lightning():
        trainer = _trainer(module, options, state)
        with _interruptible():
            trainer.fit(module, ckpt_path=resume if resumes else None, weights_only=True)
    if trainer.global_step < steps:
        raise KeyboardInterrupt(
            f"training stopped at step {trainer.global_step} of {steps}; run again to go on"
        )
    return FitResult(
        seconds=state.total_seconds,
        final_loss=distributed.on_first(lambda: _final_loss(options.run_dir)),
        surplus_segments=sum(distributed.gathered(module.surplus_segments)),
        resumes=state.resumes,
    )


def _final_loss(run_dir: Path) -> float:
    losses = read_curves(run_dir)["loss"].dropna()
    return float(losses.tail(max(1, len(losses) // 10)).mean())


def _trainer(module: SegmentationModule, options: FitOptions, state: RunState) -> L.Trainer:
    steps = module.plan.steps
    return L.Trainer(
        accelerator="cpu" if options.device == "cpu" else "auto",
        **_processes(options.device),
        max_steps=steps,
        max_epochs=-1,
        precision=_LIGHTNING_PRECISION[options.precision],
        logger=build_loggers(options),
        log_every_n_steps=max(1, min(10, steps // 20)),
        callbacks=[state, *_callbacks(options)],
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=options.progress,
        enable_model_summary=False,
        enable_checkpointing=False,  # ``Checkpoints`` does it
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=options.run_dir,
    )


def build_loggers(options: FitOptions) -> list[Logger]:
    """One Lightning logger for each name; a new CSV version for each sitting of a run."""
    where = str(options.run_dir)
    builders = {
        "csv": lambda: CSVLogger(where, name="logs", flush_logs_every_n_steps=1),
        "tensorboard": lambda: TensorBoardLogger(where, name="tensorboard"),
        "mlflow": lambda: MLFlowLogger(
            "eomtlib", run_name=options.name, tracking_uri=f"file:{where}/mlflow"
        ),
        "wandb": lambda: WandbLogger(name=options.name, project="eomtlib", save_dir=where),
    }
    names = options.loggers if "csv" in options.loggers else ("csv", *options.loggers)
    return [builders[name]() for name in names]


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
    path = run_dir / "plan.json"
    return json.loads(path.read_text())["steps"] if path.is_file() else None


def save_steps(run_dir: Path, steps: int) -> None:
    """Remembers the number of steps, so that minutes are converted once for a run."""
    text = json.dumps({"steps": steps})
    write_file(run_dir / "plan.json", text)


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
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return sorted(times[2:])[repeats // 2]


def _callbacks(options: FitOptions) -> list[Callback]:
    every = parse_duration(options.checkpoint_every, parameter="checkpoint_every")
    bars = [TQDMProgressBar(refresh_rate=20)] if options.progress else []
    return [Checkpoints(options.run_dir / RESUME_FILE, every), *bars]


def _processes(device: str) -> dict[str, Any]:
    """The arguments of the trainer that say which processes and devices work together."""
    index = device.partition(":")[2]
    if distributed.world_size() == 1:
        return {"devices": [int(index)] if index else 1}
    on_this_node = distributed.processes_on_this_node()
    return {
        "devices": on_this_node,
        "num_nodes": distributed.world_size() // on_this_node,
        # Every parameter of every rung gets a gradient in every step.
        "strategy": DDPStrategy(find_unused_parameters=False, gradient_as_bucket_view=True),
    }


_NOTICES = (
    ".*does not have many workers.*",
    ".*resuming from a checkpoint that ended before the epoch.*",
    ".*Checkpoint directory.*exists and is not empty.*",
    ".*in eval mode at the start of training.*",
    ".*isinstance.*LeafSpec.*",
    "(?s).*Grad strides do not match.*",
)
"""Notices of Lightning that do not concern a run of ours: PMT's encoder, for one, stays in eval."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """Keeps Ctrl-C an interruption: Lightning turns it into an exit and ignores the next one."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt("training was interrupted; run again to go on") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", _RANK_ZERO)]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in _NOTICES:
            warnings.filterwarnings("ignore", message=message)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
