"""What an interrupted training leaves behind: its state in a file, and the time that it took."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from eomtlib.core.files.atomic_files import write_atomically
from eomtlib.core.machine import distributed
from eomtlib.models.checkpoints.own import STATES, UNFINISHED
from eomtlib.training.duration import Duration
from eomtlib.training.loop.interruption import StopRequest

RESUME_FILE, _BEFORE = STATES
_NEW = "resume.new.ckpt"
_SHARE = 0.01
_ASK_OTHERS_EVERY = 5  # steps, of which SLURM's half a minute of grace holds many


def states(run_dir: Path) -> list[Path]:
    """The files that a training can go on from, as far as they are there, the newest first."""
    return [path for name in STATES if (path := run_dir / name).is_file()]


def sound_state(run_dir: Path) -> Path | None:
    """The newest of ``states`` that is whole and finite; of each before it a warning says why not.

    Where there is none, a training starts again.
    """
    for path in states(run_dir):
        problem = _problem(path)
        if not problem:
            return path
        warnings.warn(
            f"{path}: cannot be gone on from ({problem}); passed over for the state before it, or "
            "else for the beginning.",
            stacklevel=2,
        )
    return None


def forget_states(run_dir: Path) -> None:
    """Removes them: what is finished keeps its weights, not the optimizer's state."""
    for name in (*STATES, _NEW, UNFINISHED):
        (run_dir / name).unlink(missing_ok=True)


def _problem(path: Path) -> str:
    """What keeps a training from going on from a file; empty where nothing does."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        parts = [content[name] for name in ("state_dict", "optimizer_states", "global_step")]
    except Exception as error:  # torch.load raises many kinds on damaged files
        return str(error).partition("\n")[0] or type(error).__name__
    return next((f"{name} is not finite" for name in _not_finite(parts)), "")


def _not_finite(value: Any, name: str = "a value") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _not_finite(item, str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _not_finite(item, name)
    elif isinstance(value, Tensor) and not value.isfinite().all():
        yield name


class RotatingCheckpointIO(TorchCheckpointIO):
    """Keeps the state before the newest one, and goes on where a disk is full."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        path = Path(path)
        new = path.with_name(_NEW)
        try:
            write_atomically(new, lambda file: torch.save(checkpoint, file))
            if path.exists():
                path.replace(path.with_name(_BEFORE))
            new.replace(path)
        except OSError as error:
            step = checkpoint["global_step"]
            warnings.warn(
                f"{path}: the state of step {step} cannot be written ({error.strerror}); training "
                "goes on, and what was written before stays.",
                stacklevel=2,
            )


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
    """Writes the state every so often, and once more after the step in which it is asked to stop.

    SLURM asks so before it takes a machine away. Several processes decide together, in every fifth
    step.

    Args:
        path: of the file.
        every: minutes or steps; None for so seldom that writing takes less than 1 % of the time,
            and at most once a minute.
    """

    def __init__(self, path: Path, every: Duration | None) -> None:
        self._path, self._every = path, every
        self._pause = 60.0 * (every.value if every and every.unit == "minutes" else 1.0)
        self._request: StopRequest | None = None
        self._last, self._saved_step = time.monotonic(), 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._last, self._saved_step = time.monotonic(), trainer.global_step
        # In place of Lightning's own handlers, set by now, which talk to other processes from
        # within a signal, and make an exit of Ctrl-C.
        self._request = StopRequest()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if trainer.world_size > 1 and step % _ASK_OTHERS_EVERY:
            return
        stops, due = self._request.asked, self._is_due()
        if trainer.world_size > 1:
            answers = distributed.gathered((stops, due))
            stops, due = any(stop for stop, _ in answers), answers[0][1]
        if self._in_steps:
            due = step // int(self._every.value) > self._saved_step // int(self._every.value)
        if stops or due:
            start = time.monotonic()
            trainer.save_checkpoint(self._path)
            self._last, self._saved_step = time.monotonic(), step
            if self._every is None:
                self._pause = max(60.0, (self._last - start) / _SHARE)
        if stops:
            self._request.answer()
            trainer.should_stop = True

    def on_train_end(self, *_: Any) -> None:
        self._request.close()

    def on_exception(self, *_: Any) -> None:
        if self._request is not None:
            self._request.close()

    @property
    def _in_steps(self) -> bool:
        return self._every is not None and self._every.unit == "steps"

    def _is_due(self) -> bool:
        return not self._in_steps and time.monotonic() - self._last >= self._pause
