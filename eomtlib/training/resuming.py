"""What an interrupted training leaves behind: its state in a file, and the time that it took."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from eomtlib.core import distributed
from eomtlib.core.atomic_files import write_atomically
from eomtlib.core.errors import CheckpointError
from eomtlib.training.duration import Duration

RESUME_FILE = "resume.ckpt"
_ASK_OTHERS_EVERY = 5  # steps, of which SLURM's half a minute of grace holds many


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a file whole or not at all, and names one that cannot be read."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        write_atomically(Path(path), lambda file: torch.save(checkpoint, file))

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            checkpoint = super().load_checkpoint(path, *args, **kwargs)
            checkpoint["state_dict"]
        except Exception as error:  # torch.load raises many kinds on damaged files
            raise CheckpointError(
                f"{path}: cannot be gone on from ({error}); remove it to start again."
            ) from error
        return checkpoint


class RunState(Callback):
    """Carries what Lightning does not across an interruption: time spent, how often resumed."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.resumes = 0
        self._since = time.perf_counter()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._since = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.total_seconds, "resumes": self.resumes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]
        self.resumes = state_dict["resumes"] + 1

    @property
    def total_seconds(self) -> float:
        """Seconds over all sittings."""
        return self.seconds + time.perf_counter() - self._since


class ResumeFile(Callback):
    """Writes the state every so often, and once more where SIGTERM comes, which ends the run.

    SLURM sends it before it takes a machine away. Several processes decide together, in every fifth
    step.

    Args:
        path: of the file.
        every: minutes or steps.
    """

    def __init__(self, path: Path, every: Duration) -> None:
        self._path, self._every = path, every
        self._asked_to_stop = False
        self._last, self._saved_step = time.monotonic(), 0
        self._before: Any = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._last, self._saved_step = time.monotonic(), trainer.global_step
        # Lightning's own handler, set by now, talks to the other processes from within a signal.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._ask)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if trainer.world_size > 1 and step % _ASK_OTHERS_EVERY:
            return
        stops, due = self._asked_to_stop, self._is_due()
        if trainer.world_size > 1:
            answers = distributed.gathered((stops, due))
            stops, due = any(stop for stop, _ in answers), answers[0][1]
        if self._every.unit == "steps":
            due = step // int(self._every.value) > self._saved_step // int(self._every.value)
        if stops or due:
            trainer.save_checkpoint(self._path)
            self._last, self._saved_step = time.monotonic(), step
        if stops:
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _is_due(self) -> bool:
        return self._every.unit == "minutes" and (
            time.monotonic() - self._last >= 60 * self._every.value
        )

    def _ask(self, *_: Any) -> None:
        self._asked_to_stop = True
