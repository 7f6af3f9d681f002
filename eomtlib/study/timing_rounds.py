"""Models timed in turns, so that a machine whose speed drifts is as fast to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from eomtlib.core.console import Progress
from eomtlib.core.files.atomic_files import config_hash
from eomtlib.core.files.holding import held
from eomtlib.core.machine import distributed
from eomtlib.core.machine.environment import environment
from eomtlib.core.words import OWN_SIZES
from eomtlib.evaluation.speed import ModelTiming
from eomtlib.study.records.keys import TimingKey
from eomtlib.study.records.kinds import TimingRecord
from eomtlib.study.runs.run import Run

# A machine that others share is slow for seconds at a time: of nine short rounds most are not. A
# large model's forward pass takes such a time by itself.
ROUNDS = {True: 9, False: 3}
"""Whether a size is our own → in how many rounds it is timed."""

_COMPILING = ("compiled", "max-autotune")


@dataclass(frozen=True)
class TimingJob:
    """One architecture that is to be timed in one way.

    Attributes:
        run: whose model it is.
        mode, sampler: of its identity's ``variants``.
    """

    run: Run
    mode: str
    sampler: str

    @property
    def name(self) -> str:
        """For notices."""
        how = self.mode
        if self.run.identity.rung.has_deformable_attention:
            how += f", {self.sampler} sampler"
        options = self.run.identity.options.chosen()
        said = "".join(f", {name}={value}" for name, value in options.items())
        return f"{self.run.rung} {self.run.settings.size} ({how}{said})"

    @property
    def key(self) -> TimingKey:
        """The same for two jobs of which one timing serves both, whatever their weights are."""
        return self.run.identity.timing_key(self.mode, self.sampler)

    @property
    def rounds(self) -> int:
        """In how many it is timed: one where each would compile it again, which takes minutes."""
        return 1 if self.mode in _COMPILING else ROUNDS[self.run.settings.size in OWN_SIZES]


def time_missing(runs: Sequence[Run]) -> None:
    """Times the models of some runs in turns, where one of them was not timed yet.

    The others are then timed again, so that speeds may be divided, but not where that would take
    minutes. On one machine and into one results folder, one process times at a time.
    """
    distributed.on_first(lambda: _time_alone(runs))


def _time_alone(runs: Sequence[Run]) -> None:
    if not _jobs(runs):
        return
    machine = environment(runs[0].settings.device).machine
    path = runs[0].store.root / f"timing-{config_hash({'machine': machine})[:8]}.lock"
    with held(path, name="timing", say=runs[0].say, wait=True, alone=True):
        for record in time_in_rounds(_jobs(runs)):
            runs[0].store.write(record)


def _jobs(runs: Sequence[Run]) -> list[TimingJob]:
    """What is to be timed, each architecture once; nothing where nothing is missing.

    What is missing comes first: were it interrupted while records are written, nothing would begin
    anew.
    """
    missing: list[TimingJob] = []
    others: list[TimingJob] = []
    for run in runs:
        untimed = run.missing_timings()
        for way in run.identity.variants:
            job = TimingJob(run, *way)
            if job.key in [other.key for other in (*missing, *others)]:
                continue
            if way in untimed:
                missing.append(job)
            elif job.mode not in _COMPILING:
                others.append(job)
    return missing + others if missing else []


def time_in_rounds(jobs: Sequence[TimingJob], *, most: int | None = None) -> list[TimingRecord]:
    """Times every model for a while, then every model again; one is in memory at a time.

    Args:
        jobs: what to time.
        most: so many of its rounds at most.

    Returns:
        A record of each, which is not written yet.
    """
    session = datetime.now(UTC).isoformat(timespec="milliseconds")
    timed: list[list[ModelTiming]] = [[] for _ in jobs]
    turns = [min(job.rounds, most or job.rounds) for job in jobs]
    shown = any(job.run.materials.progress for job in jobs)
    with Progress("timing", total=sum(turns), unit="rounds", shown=shown, kept=False) as bar:
        for number in range(max(turns, default=0)):
            for job, rounds, last in zip(jobs, timed, turns, strict=True):
                if number < last:
                    bar.note(job.name)
                    rounds.append(
                        job.run.time(mode=job.mode, sampler=job.sampler, share=1 / job.rounds)
                    )
                    bar.update()
    return [
        job.run.timing_record(rounds, mode=job.mode, sampler=job.sampler, session=session)
        for job, rounds in zip(jobs, timed, strict=True)
    ]
