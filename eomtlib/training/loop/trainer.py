"""Lightning's trainer as all our trainings use it: quiet, resumable, one process or several."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.environments import ClusterEnvironment, LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from eomtlib.core.console import Progress
from eomtlib.core.machine import distributed
from eomtlib.core.machine.cpu_products import DEFAULT, products
from eomtlib.core.machine.precision import tensor_cores
from eomtlib.training.duration import parse_duration
from eomtlib.training.loop.resuming import (
    RESUME_FILE,
    ResumeFile,
    RotatingCheckpointIO,
    RunState,
    sound_state,
    states,
)
from eomtlib.training.loop.validation import Validation, ValidationPlan

_PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


@dataclass(frozen=True)
class FitOptions:
    """How a run is executed; none of it changes what is learned but by rounding.

    Attributes:
        run_dir: logs and the resume file go there.
        device: ``cpu``, ``cuda``, ...
        precision: ``float32``, ``bfloat16`` or ``float16``.
        products: what multiplies matrices, as ``core.machine.cpu_products`` chooses it.
        checkpoint_every: time between two writings of the resume file, as ``parse_duration`` reads
            it, minutes or steps; ``auto`` for so long that they take less than 1 % of it.
        loggers: names of ``loggers.LOGGERS``, besides ``csv``.
        config: what loggers are told of the run.
        validation: when it is validated; None for never.
        progress: whether a progress bar is shown.
        name: of the run, for the loggers.
        alone: whether this process trains while others wait for it.
    """

    run_dir: Path
    device: str
    precision: str
    checkpoint_every: str
    loggers: tuple[str, ...] = ("csv",)
    config: Mapping[str, Any] = field(default_factory=dict)
    validation: ValidationPlan | None = None
    progress: bool = True
    name: str = "run"
    alone: bool = False
    products: str = DEFAULT


def train_to_end(
    module: L.LightningModule, options: FitOptions, *, steps: int, loggers: Sequence[Logger] = ()
) -> tuple[RunState, Validation | None]:
    """Trains to the last step, from the run's newest sound state where there is one.

    Whoever calls it holds the folder (``core.holding``).

    Args:
        module: has ``shown``, what a progress bar says.
        options: how.
        steps: of the whole run.
        loggers: Lightning's.

    Returns:
        The time that it took, and how often it went on after an interruption; and what validation
        found, where there was any.

    Raises:
        KeyboardInterrupt: when the training was asked to stop; says from where it goes on.
    """
    folder = options.run_dir
    resumed = distributed.on_first(lambda: _take_up(folder), alone=options.alone)
    state = RunState()
    every = None
    if options.checkpoint_every != "auto":
        every = parse_duration(options.checkpoint_every, parameter="checkpoint_every")
    validation = options.validation and Validation(options.validation)
    # Before the state is written, which holds what it found.
    bar = _Bar(shown=options.progress)
    callbacks = [state, validation, ResumeFile(folder / RESUME_FILE, every), bar]
    with (
        _quiet_lightning(),
        _interruptible(folder),
        closing(bar),
        tensor_cores(options.device, options.precision),
        products(options.products),
    ):
        trainer = L.Trainer(
            accelerator="cpu" if options.device == "cpu" else "auto",
            **_processes(options),
            max_steps=steps,
            max_epochs=-1,
            precision=_PRECISIONS[options.precision],
            benchmark=True,  # cuDNN tries its ways once: shapes stay the same
            logger=loggers,
            log_every_n_steps=max(1, min(10, steps // 20)),
            callbacks=[callback for callback in callbacks if callback is not None],
            plugins=[RotatingCheckpointIO(), *_environment(options)],
            enable_progress_bar=False,  # ``_Bar`` is shown
            enable_model_summary=False,
            enable_checkpointing=False,  # ``ResumeFile`` does it
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        trainer.fit(module, ckpt_path=resumed, weights_only=True)
    ended = validation is not None and validation.stopped_early
    if trainer.global_step < steps and not ended:
        raise KeyboardInterrupt(
            f"training stopped at step {trainer.global_step} of {steps}; {_way_on(folder)}"
        )
    return state, validation


class _Bar(Callback):
    """How far the training is, and what the module wants to be shown."""

    def __init__(self, *, shown: bool) -> None:
        self._shown, self._progress = shown, None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._progress = Progress(
            "training",
            total=trainer.max_steps,
            already=trainer.global_step,
            unit="steps",
            shown=self._shown,
        )

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        said = (f"{name.replace('_', ' ')} {value}" for name, value in pl_module.shown.items())
        self._progress.note(", ".join(said))
        self._progress.update()

    def close(self) -> None:
        """Ends what is shown, however the training ended."""
        if self._progress is not None:
            self._progress.close()


def _take_up(folder: Path) -> Path | None:
    """The state to go on from; what a kill in the middle of writing has left is removed."""
    for stale in folder.glob(".resume*.tmp"):
        stale.unlink()
    return sound_state(folder)


def _way_on(folder: Path) -> str:
    return "run again to go on" if states(folder) else "no state was written; run again to start"


def _environment(options: FitOptions) -> list[ClusterEnvironment]:
    """Of a process alone its own, which Lightning would else take from SLURM's variables."""
    alone = options.alone or distributed.world_size() == 1
    return [LightningEnvironment()] if alone else []


def _processes(options: FitOptions) -> dict[str, Any]:
    """The arguments of the trainer that say which processes and devices work together."""
    index = options.device.partition(":")[2]
    if options.alone or distributed.world_size() == 1:
        return {"devices": [int(index)] if index else 1}
    on_this_node = distributed.processes_on_this_node()
    return {
        "devices": on_this_node,
        "num_nodes": distributed.world_size() // on_this_node,
        # Every parameter of every rung gets a gradient in every step.
        # Buffers are equal already: tables, and batch norm's statistics over all processes.
        "strategy": DDPStrategy(
            find_unused_parameters=False, gradient_as_bucket_view=True, broadcast_buffers=False
        ),
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
def _interruptible(folder: Path) -> Iterator[None]:
    """Keeps Ctrl-C an interruption: Lightning turns it into an exit and ignores the next one."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt(f"training was interrupted; {_way_on(folder)}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    names = ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero")
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        for message in _NOTICES:
            warnings.filterwarnings("ignore", message=message)
        for logger in levels:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in levels.items():
                logger.setLevel(level)
