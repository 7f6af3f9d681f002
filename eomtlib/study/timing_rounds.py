"""Models timed in turns, so that a machine whose speed drifts is as fast to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from eomtlib.core.atomic_files import config_hash
from eomtlib.core.words import OWN_SIZES
from eomtlib.evaluation.timing import ModelTiming
from eomtlib.models.encoders import timm_name
from eomtlib.models.ladder import LADDER
from eomtlib.study.experiment import Experiment
from eomtlib.study.records import TimingRecord

# A machine that others share is slow for seconds at a time: of nine short rounds most are not. A
# large model's forward pass takes such a time by itself.
ROUNDS = {True: 9, False: 3}
"""Whether a size is our own → in how many rounds it is timed."""

_COMPILING = ("compiled", "max-autotune")


@dataclass(frozen=True)
class TimingJob:
    """One architecture that is to be timed in one way.

    Attributes:
        experiment: whose rung it is.
        rung: its name.
        mode, sampler: of ``experiment.variants(rung)``.
    """

    experiment: Experiment
    rung: str
    mode: str
    sampler: str

    @property
    def name(self) -> str:
        """For notices."""
        settings = self.experiment.settings
        how = self.mode
        if LADDER[self.rung].has_deformable_attention:
            how += f", {self.sampler} sampler"
        options = self.experiment.options(self.rung).chosen()
        said = "".join(f", {name}={value}" for name, value in options.items())
        return f"{self.rung} {settings.size} ({how}{said})"

    @property
    def identity(self) -> str:
        """The same for two jobs of which one timing serves both, whatever their weights are."""
        settings = self.experiment.settings
        return config_hash(
            self.experiment.timed_as(self.rung)
            | {
                "rung": self.rung,
                "size": settings.size,
                "encoder": timm_name(settings.size, settings.pretraining),
                "dtype": settings.precision,
                "device": settings.device,
                "mode": self.mode,
                "sampler": self.sampler,
            }
        )

    @property
    def rounds(self) -> int:
        """In how many it is timed: one where each would compile it again, which takes minutes."""
        if self.mode in _COMPILING:
            return 1
        return ROUNDS[self.experiment.settings.size in OWN_SIZES]


def time_in_rounds(jobs: Sequence[TimingJob]) -> list[TimingRecord]:
    """Times every model for a while, then every model again, and writes a record of each.

    One model is in memory at a time. Nothing is written before the last round has ended.
    """
    session = datetime.now(UTC).isoformat(timespec="seconds")
    timed: list[list[ModelTiming]] = [[] for _ in jobs]
    for number in range(max((job.rounds for job in jobs), default=0)):
        for job, rounds in zip(jobs, timed, strict=True):
            if number >= job.rounds:
                continue
            turn = f", round {number + 1} of {job.rounds}" if job.rounds > 1 else ""
            job.experiment.say(f"timing {job.name}{turn}.")
            rounds.append(
                job.experiment.time(
                    job.rung, mode=job.mode, sampler=job.sampler, share=1 / job.rounds
                )
            )
    return [
        job.experiment.record_timing(
            job.rung, rounds, mode=job.mode, sampler=job.sampler, session=session
        )
        for job, rounds in zip(jobs, timed, strict=True)
    ]


def apart(records: Sequence[TimingRecord]) -> str:
    """What must stand beside FPS that were not measured in turns; empty where all were."""
    sessions: dict[str, list[TimingRecord]] = {}
    for record in records:
        sessions.setdefault(record.session, []).append(record)
    if len(sessions) < 2:
        return ""
    sizes = [{record.size for record in of_one} for of_one in sessions.values()]
    by_size = all(len(own) == 1 for own in sizes) and len(set.union(*sizes)) == len(sizes)
    name = _size if by_size else partial(_name, sized=len(set.union(*sizes)) > 1)
    groups = "; then ".join(
        ", ".join(dict.fromkeys(name(record) for record in sessions[session]))
        for session in sorted(sessions)
    )
    return f"FPS were measured at {len(sessions)} different times: {groups}"


def _size(record: TimingRecord) -> str:
    return record.size


def _name(record: TimingRecord, *, sized: bool) -> str:
    chosen = [f"{name}={value}" for name, value in record.options.items()]
    size, masking = [record.size] if sized else [], [record.masking] if record.masking else []
    return " ".join([record.rung, *size, *chosen, *masking])
