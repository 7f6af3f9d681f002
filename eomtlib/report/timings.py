"""Which timing stands for a model, and what must be said of those that stand beside each other."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from eomtlib.study.records.kinds import Record, TimingRecord
from eomtlib.study.records.store import fastest, in_turns

_AnyRecord = TypeVar("_AnyRecord", bound=Record)


def representative(timings: Sequence[TimingRecord]) -> TimingRecord | None:
    """Of timings of one model on one machine, the one to show; None where there is none.

    It is the fastest mode and sampler, by their newest timing: the fastest of all time would grow
    with every repetition.
    """
    (own,) = in_turns([same_measure(timings)])
    return fastest(own) if own else None


def same_measure(timings: Sequence[TimingRecord]) -> list[TimingRecord]:
    """Those at the newest one's image size and by its method."""
    timings = by_time(timings)
    return [
        t
        for t in timings
        if (t.cost_image_size, t.method) == (timings[-1].cost_image_size, timings[-1].method)
    ]


def by_time(records: Iterable[_AnyRecord]) -> list[_AnyRecord]:
    """From the oldest to the newest."""
    return sorted(records, key=lambda record: datetime.fromisoformat(record.created))


def spread(record: TimingRecord) -> float:
    """Half the interval of the model's seconds a call, in percent; NaN where none was recorded."""
    low, high = record.interval_model_s or (math.nan, math.nan)
    return 50 * (high - low) * record.fps_model / record.batch_size


def doubts(record: TimingRecord) -> list[str]:
    """What speaks against a timing by itself."""
    is_faster = (record.fps_end_to_end or 0) > record.fps_model
    said = {"not steady": record.is_steady is False, "faster end to end than alone": is_faster}
    return [text for text, holds in said.items() if holds]


def doubts_between(record: TimingRecord, other: TimingRecord) -> list[str]:
    """What speaks against a ratio of two timings: other rounds, other versions."""
    ours, theirs = record.environment, other.environment
    said = []
    for name in ("torch", "driver"):
        if getattr(ours, name) != getattr(theirs, name):
            said.append(f"with {name} {getattr(theirs, name) or 'unknown'}")
    is_one = record is other or record.session == other.session != ""
    return said if is_one else ["at another time", *said]


def measured_under(records: Sequence[TimingRecord]) -> str:
    """Device, image sizes, modes and number formats of timings, in one line."""
    sizes = _listed("{}×{}".format(*r.cost_image_size) for r in records)
    modes, formats = (_listed(getattr(r, name) for r in records) for name in ("mode", "dtype"))
    devices = _listed(r.environment.device for r in records)
    return " · ".join([sizes, "batch 1", modes, formats, devices])


def said_of(records: Sequence[TimingRecord]) -> list[str]:
    """What must stand beside FPS and FPS end to end of several models."""
    several = len({record.size for record in records}) > 1
    doubtful: defaultdict[str, list[str]] = defaultdict(list)
    for record in records:
        for doubt in doubts(record):
            doubtful[doubt].append(_timed_name(record, sized=several))
    said = [
        f"{doubt}: {'all' if len(names) == len(records) > 1 else ', '.join(dict.fromkeys(names))}"
        for doubt, names in doubtful.items()
    ]
    photos = _listed("×".join(map(str, r.photo_size)) for r in records if r.photo_size)
    environments = [record.environment for record in records]
    versions = _listed(
        f"torch {e.torch}" + (f" and driver {e.driver}" if e.driver else "") for e in environments
    )
    return [
        apart(records),
        f"FPS end to end are of images of {photos}" if photos else "",
        f"FPS are of several versions: {versions}" if ";" in versions else "",
        *said,
    ]


def apart(records: Sequence[TimingRecord]) -> str:
    """What must stand beside FPS that were not measured in turns; empty where all were."""
    sessions: defaultdict[str, list[TimingRecord]] = defaultdict(list)
    for record in records:
        sessions[record.session].append(record)
    if len(sessions) < 2:
        return ""
    sizes = [{record.size for record in of_one} for of_one in sessions.values()]
    by_size = all(len(own) == 1 for own in sizes) and len(set.union(*sizes)) == len(sizes)
    several = len(set.union(*sizes)) > 1
    groups = []
    for session in sorted(sessions):
        names = [r.size if by_size else _timed_name(r, sized=several) for r in sessions[session]]
        groups.append(", ".join(dict.fromkeys(names)))
    return f"FPS were measured at {len(sessions)} different times: {'; then '.join(groups)}"


def _timed_name(record: TimingRecord, *, sized: bool) -> str:
    chosen = [f"{name}={value}" for name, value in record.options.items()]
    size, masking = [record.size] if sized else [], [record.masking] if record.masking else []
    return " ".join([record.rung, *size, *chosen, *masking])


def _listed(texts: Iterable[str]) -> str:
    return "; ".join(sorted(set(texts)))
