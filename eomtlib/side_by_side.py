"""Trainings at the same time, each in a process of its own.

A small model leaves cores idle: most of its operators are over before they could be shared. Several
models, a core or two each, keep all of them busy.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from tqdm.auto import tqdm

from eomtlib import distributed
from eomtlib.data.loading import default_workers
from eomtlib.encoders import OWN_SIZES
from eomtlib.errors import ConfigurationError, EomtlibError
from eomtlib.parameters import whole
from eomtlib.settings import Settings
from eomtlib.study import Study
from eomtlib.training.run import trained_steps

Runs = Sequence[tuple[Study, str]]
"""Studies, and a rung of each."""

# A process takes some seconds to start, and about 1.5 GiB.
_WORTH_A_PROCESS = 60.0
_MOST_BY_DEFAULT = 8
_SECONDS_TO_STOP = 60.0


def parse_jobs(jobs: int | str) -> int:
    """How many trainings at once; 0 where that is left to ``default_jobs``, 1 in many processes.

    Raises:
        ConfigurationError: for what is no such number, or several under torchrun or srun.
    """
    number = whole("jobs", jobs or 0, at_least=0)
    processes = distributed.world_size()
    if processes == 1:
        return number
    if number > 1:
        raise ConfigurationError(
            f"jobs={number}: {processes} processes share each training already; leave jobs at 0, "
            "or start one process."
        )
    return 1


def default_jobs(runs: Runs, *, seconds: float) -> int:
    """How many of some runs are best trained at once: several only of small models on a CPU.

    Args:
        runs: to be trained.
        seconds: that they are expected to take.
    """
    small = all(
        study.settings.size in OWN_SIZES
        and study.settings.device == "cpu"
        and default_workers(study.experiment.train_set) == 0
        for study, _ in runs
    )
    if not small or seconds < _WORTH_A_PROCESS * len(runs):
        return 1
    return min(torch.get_num_threads(), len(runs), _MOST_BY_DEFAULT)


def learn_side_by_side(runs: Runs, *, jobs: int) -> None:
    """Trains and evaluates rungs, ``jobs`` at a time; their records say what came out.

    The threads of this process are shared equally; of several GPUs each process takes one. Where
    the first run fails, or this process is interrupted, the others write a checkpoint and stop.

    Args:
        runs: of which none trains the same as another.
        jobs: processes.

    Raises:
        EomtlibError: of a run, or when its process was killed.
        KeyboardInterrupt: also at SIGTERM; the same call goes on.
    """
    for study, _ in runs:
        if study.settings.mim is not None:
            study.experiment.encoder_weights()  # one pretraining, which all of them wait for
    threads = max(1, torch.get_num_threads() // jobs)
    shows = any(study.experiment.progress for study, _ in runs)
    waiting, running = list(runs), dict.fromkeys(range(jobs))
    bar = tqdm(total=len(runs), desc=f"training, {jobs} at once", unit="run", disable=not shows)
    with bar, _sigterm_interrupts():
        try:
            while waiting or any(running.values()):
                for slot in running:
                    if running[slot] is None and waiting:
                        running[slot] = _Job.start(*waiting.pop(0), slot=slot, threads=threads)
                active = {slot: job for slot, job in running.items() if job is not None}
                wait([job.process.sentinel for job in active.values()], timeout=2)
                for slot, job in active.items():
                    if job.is_over():
                        running[slot] = None
                        bar.update()
                bar.set_postfix_str(", ".join(job.said for job in active.values()))
        finally:
            _stop([job for job in running.values() if job is not None])


@dataclass(frozen=True)
class _Job:
    """A run that a process is at."""

    study: Study
    rung: str
    process: BaseProcess
    answer: Connection

    @classmethod
    def start(cls, study: Study, rung: str, *, slot: int, threads: int) -> _Job:
        context = multiprocessing.get_context("spawn")
        answer, worker = context.Pipe(duplex=False)
        settings = replace(study.settings, device=device_of(study.settings.device, slot))
        process = context.Process(
            target=_learn,
            args=(settings, rung),
            kwargs={"results_dir": study.store.root, "threads": threads, "answer": worker},
            name=f"{rung}, seed {settings.seed}",
        )
        process.start()
        worker.close()
        return cls(study, rung, process, answer)

    @property
    def said(self) -> str:
        """How far it is."""
        return f"{self.rung} {trained_steps(self.study.experiment.run_dir(self.rung))}"

    def is_over(self) -> bool:
        """Whether it has ended; raises what it ended with, if that is an error."""
        if self.process.is_alive():
            return False
        self.process.join()
        try:
            error = self.answer.recv()
        except EOFError:
            error = EomtlibError(
                f"{self.process.name}: its process ended with code {self.process.exitcode}, as "
                "where memory runs out; set jobs to a smaller number, and run again to go on."
            )
        if error is not None:
            raise error
        return True


def device_of(device: str, slot: int) -> str:
    """The device of the process of that number: of several GPUs, where none is named, its own."""
    if device != "cuda" or torch.cuda.device_count() < 2:
        return device
    return f"cuda:{slot % torch.cuda.device_count()}"


def _learn(
    settings: Settings, rung: str, *, results_dir: Path, threads: int, answer: Connection
) -> None:
    """What a process does: one run, and an answer, None or an error."""
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        Study.of(settings, results_dir=results_dir, progress=False).learn(rung)
    except (EomtlibError, KeyboardInterrupt) as error:
        answer.send(error)
    except Exception:
        # Of other errors only the text is sure to be pickled.
        answer.send(RuntimeError(f"{rung}, seed {settings.seed}:\n{traceback.format_exc()}"))
    else:
        answer.send(None)


def _stop_with_parent() -> None:
    """Waits until the process that started this one is gone, however that ended."""
    wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(jobs: Sequence[_Job]) -> None:
    """Asks for a last checkpoint, and waits for it."""
    for job in jobs:
        job.process.terminate()
    for job in jobs:
        job.process.join(_SECONDS_TO_STOP)
        job.process.kill()
        job.process.join()


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SLURM's SIGTERM ends what is within as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt("training was asked to stop; run again to go on")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
