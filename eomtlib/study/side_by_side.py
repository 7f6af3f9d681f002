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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import torch

from eomtlib.core.console import Manner, Progress, manner, speaking
from eomtlib.core.errors import ConfigurationError, EomtlibError
from eomtlib.core.machine import distributed
from eomtlib.core.words import OWN_SIZES
from eomtlib.data.feed.loaders import default_workers
from eomtlib.study.parameters.settings import Settings
from eomtlib.study.records.store import ResultStore
from eomtlib.study.runs.materials import Materials
from eomtlib.study.runs.run import Run
from eomtlib.training.loop.fit import trained_steps

_WORTH_A_PROCESS = 60.0  # seconds; its start takes about eight
_BYTES_OF_A_PROCESS = 2 << 30
_MOST_BY_DEFAULT = 8
_SECONDS_TO_STOP = 300.0  # the step that a run is at, and its checkpoint


def check_jobs(jobs: int) -> int:
    """How many trainings at once; 0 where that is left to ``default_jobs``, 1 in many processes.

    Raises:
        ConfigurationError: for several under torchrun or srun.
    """
    processes = distributed.world_size()
    if processes == 1:
        return jobs
    if jobs > 1:
        raise ConfigurationError(
            f"jobs={jobs}: {processes} processes share each training already; leave jobs at 0, "
            "or start one process."
        )
    return 1


def default_jobs(runs: Sequence[Run], *, seconds: float) -> int:
    """How many of some runs are best trained at once: several only of small models on a CPU.

    Args:
        runs: to be trained.
        seconds: that they are expected to take one after the other.
    """
    if seconds < _WORTH_A_PROCESS * len(runs):
        return 1
    small = all(
        run.settings.size in OWN_SIZES
        and run.settings.device == "cpu"
        and default_workers(run.materials.train_set) == 0
        for run in runs
    )
    if not small:
        return 1
    memory = psutil.virtual_memory().available // _BYTES_OF_A_PROCESS
    return max(1, min(torch.get_num_threads(), len(runs), memory, _MOST_BY_DEFAULT))


def learn_side_by_side(
    runs: Sequence[Run],
    *,
    jobs: int,
    threads: int | None = None,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Trains and evaluates rungs, ``jobs`` at a time; their records say what came out.

    The threads and loading processes of this process are shared equally; of several GPUs each takes
    one. Where the first run fails, or this process is interrupted or gone, the others write a
    checkpoint and stop.

    Args:
        runs: of which none trains the same as another.
        jobs: processes, at least 1.
        threads: of each process, where they are not to be shared equally.
        is_over: asked about every second; once it holds, all write a checkpoint and stop.

    Raises:
        EomtlibError: of a run, or when its process was killed.
        RuntimeError: with the text of any other error of a run.
        KeyboardInterrupt: also at SIGTERM; the same call goes on.
    """
    for run in runs:
        if run.materials.pretraining is not None:
            run.materials.encoder_weights()  # one pretraining, which all of them wait for
    shows = any(run.materials.progress for run in runs)
    waiting = list(runs)
    running: dict[int, _Job] = {}  # by a number below ``jobs``
    bar = Progress(f"training, {jobs} at once", total=len(runs), unit="runs", shown=shows)
    interrupts = _handling(signal.SIGINT, _interrupt), _handling(signal.SIGTERM, _interrupt)
    with bar, interrupts[0], interrupts[1]:
        try:
            while (waiting or running) and not is_over():
                for slot in set(range(jobs)) - set(running):
                    if waiting:
                        running[slot] = _job(waiting.pop(0), slot=slot, jobs=jobs, threads=threads)
                        running[slot].start()
                if shows:
                    bar.note(", ".join(job.said for job in running.values()))
                    bar.update(0)
                answered = wait([job.answer for job in running.values()], timeout=1)
                for slot, job in list(running.items()):
                    if job.answer in answered:
                        job.finish()
                        del running[slot]
                        bar.update()
        finally:
            _stop(list(running.values()))


def device_of(device: str, slot: int) -> str:
    """The device of the process of that number: of several GPUs, where none is named, its own."""
    if device != "cuda" or torch.cuda.device_count() < 2:
        return device
    return f"cuda:{slot % torch.cuda.device_count()}"


@dataclass(frozen=True)
class _Job:
    """A run and the process that is at it."""

    run: Run
    process: BaseProcess
    answer: Connection
    answers_to: Connection

    def start(self) -> None:
        """Starts the process, which then holds the other end of ``answer`` alone."""
        self.process.start()
        self.answers_to.close()

    @property
    def said(self) -> str:
        """How far it is."""
        steps = trained_steps(self.run.folder)
        return f"{self.process.name}: {steps}"

    def finish(self) -> None:
        """Takes its answer, or the end of its process; raises the error that either tells of."""
        try:
            error = self.answer.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            why = "what it printed may say why (scripts need: if __name__ == '__main__':)"
            if code == -signal.SIGKILL:
                why = "as where memory runs out; set jobs to a smaller number, and run again"
            error = EomtlibError(f"{self.process.name}: its process ended with code {code}, {why}.")
        self.process.join()
        if error is not None:
            raise error


def _job(run: Run, *, slot: int, jobs: int, threads: int | None) -> _Job:
    """A run whose process is not started yet, so that it is known before it can be left behind."""
    context = multiprocessing.get_context("spawn")
    answer, worker = context.Pipe(duplex=False)
    settings = run.settings
    workers = settings.workers
    if workers is None:
        workers = default_workers(run.materials.train_set) // jobs
    settings = replace(settings, device=device_of(settings.device, slot), workers=workers)
    process = context.Process(
        target=_learn,
        args=(settings, run.rung),
        kwargs={
            "results_dir": run.store.root,
            "threads": threads or max(1, torch.get_num_threads() // jobs),
            "jobs": jobs,
            "answer": worker,
            "how": manner(),
        },
        name=f"{run.rung}, seed {settings.seed}",
    )
    return _Job(run, process, answer, worker)


def _learn(
    settings: Settings,
    rung: str,
    *,
    results_dir: Path,
    threads: int,
    jobs: int,
    answer: Connection,
    how: Manner,
) -> None:
    """What a process does: one run, and an answer, None or an error."""
    # Ctrl-C goes to a whole session; the first process then asks for a last checkpoint.
    os.setsid()
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    error: BaseException | None = None
    try:
        with speaking(how, as_who=f"{rung}, seed {settings.seed}"):
            materials = Materials(settings, results_dir=results_dir, progress=False)
            Run(rung, materials, ResultStore(results_dir), jobs=jobs).learn(wait=False)
    except (EomtlibError, KeyboardInterrupt) as known:
        error = known
    except Exception:
        # Of other errors only the text is sure to be pickled.
        error = RuntimeError(f"{rung}, seed {settings.seed}:\n{traceback.format_exc()}")
    with suppress(BrokenPipeError):  # nobody listens any more
        answer.send(error)


def _stop_with_parent() -> None:
    """Waits until the process that started this one is gone, however that ended."""
    wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(jobs: Sequence[_Job]) -> None:
    """Asks for a last checkpoint, and waits for it."""
    jobs = [job for job in jobs if job.process.pid is not None]
    with _handling(signal.SIGINT, signal.SIG_IGN), _handling(signal.SIGTERM, signal.SIG_IGN):
        for job in jobs:
            job.process.terminate()
        for job in jobs:
            job.process.join(_SECONDS_TO_STOP)
            job.process.kill()
            job.process.join()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt("training was asked to stop; run again to go on")


@contextmanager
def _handling(number: int, handler: Callable[..., None] | signal.Handlers) -> Iterator[None]:
    """Another handler of a signal for what is within, where this thread may set one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
