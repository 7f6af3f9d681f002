"""The studies of a results folder, found again by their records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from eomtlib.core.atomic_files import config_hash
from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.models.ladder import LADDER, masking_after
from eomtlib.report.frame import to_dataframe
from eomtlib.report.timings import representative
from eomtlib.study.records.kinds import TrainingRecord
from eomtlib.study.records.store import ResultStore, RunResult

_APART = ("rung", "seed", "recipe", "options")
"""In what the trainings of one study may differ."""


@dataclass
class RecordedStudy:
    """Runs that differ in rung, seed, options and hyper-parameters, and in nothing else.

    Attributes:
        name: says what they have in common.
        results: of each run, in the ladder's order; without trainings where models were timed only.
    """

    name: str
    results: list[RunResult] = field(default_factory=list)

    @property
    def created(self) -> str:
        """When its newest record was made, ISO 8601."""
        records = [r.training or r.timing for r in self.results]
        return max(record.created for record in records if record is not None)


def recorded_studies(store: ResultStore) -> list[RecordedStudy]:
    """All studies of a results folder, the newest first.

    Of each run the newest evaluation counts, and the timing that ``frame.to_dataframe`` finds.

    Raises:
        ConfigurationError: where there is neither a training that was evaluated nor a timing.
    """
    records = {record.id: record for record in store.records()}
    frame = to_dataframe(records.values()).dropna(subset=["configuration"])
    same = ["configuration", "seed", "inference_masking"]
    studies: dict[str, RecordedStudy] = {}
    for row in frame.drop_duplicates(same, keep="last").to_dict("records"):
        training, timing = records[row["training_id"]], records.get(row["timing_id"])
        folder = (store.root / training.checkpoint).parent
        result = RunResult(
            training,
            records[row["evaluation_id"]],
            () if timing is None else (timing,),
            folder if folder.is_dir() else None,
        )
        name = _name(training)
        studies.setdefault(name, RecordedStudy(name)).results.append(result)
    if not studies:
        studies["timings"] = RecordedStudy("timings", _timed(store))
        if not studies["timings"].results:
            raise ConfigurationError(
                f"results_dir={str(store.root)!r} holds no records of a trained and evaluated or a "
                "timed model; name the folder that `fit`, `benchmark` or a notebook wrote to."
            )
    for study in studies.values():
        study.results.sort(key=_in_order)
    return sorted(studies.values(), key=lambda study: study.created, reverse=True)


def chosen_study(store: ResultStore, name: str = "") -> tuple[RecordedStudy, list[RecordedStudy]]:
    """The study of that name, or the newest, and the others.

    Raises:
        ConfigurationError: when there is none of that name, or none at all.
    """
    studies = {study.name: study for study in recorded_studies(store)}
    chosen = studies.pop(check_choice("study", name, studies) if name else next(iter(studies)))
    return chosen, list(studies.values())


def variants(results: Sequence[RunResult]) -> list[str]:
    """What tells each run from others of its rung besides the seed; empty where nothing does."""
    rows: list[dict[str, Any]] = []
    for result in results:
        first = result.training or result.timing
        row: dict[str, Any] = {"rung": first.rung, "size": first.size}
        row["pretraining"] = first.pretraining
        if result.training is not None:
            options = dict(result.training.key.options or {})
            trained = options.get("masking") or LADDER[first.rung].masking
            run = result.evaluation.masking if result.evaluation else masking_after(trained)
            run_as_usual = run == masking_after(trained)
            row |= options | (result.training.key.recipe or {})
            row["inference"] = "" if run_as_usual else run
        else:
            row |= first.options
        rows.append(row)
    table = pd.json_normalize(rows).astype(object)
    table = table.where(table.notna(), "").map(lambda v: f"{v:g}" if isinstance(v, float) else v)
    counts = table.map(str).groupby("rung").transform("nunique").gt(1)
    return [
        ", ".join(f"{n.rpartition('.')[2]} {row[n]}" for n in counts if differs[n] and row[n] != "")
        for row, differs in zip(table.to_dict("records"), counts.to_dict("records"), strict=True)
    ]


def _in_order(result: RunResult) -> tuple[int, int, str]:
    first = result.training or result.timing
    return LADDER[first.rung].step, getattr(first, "seed", 0), first.created


def _name(training: TrainingRecord) -> str:
    shared = training.key.config(without=_APART)
    # A frozen encoder's decoder may have other epochs of its own (``study.defaults``).
    whole = f"{(training.key.recipe or {}).get('epochs')}epochs"
    duration = "recipe" if training.key.duration == whole else f"{training.steps}steps"
    size = "x".join(map(str, training.image_size))
    said = f"{training.size}-{training.pretraining}-{training.dataset}-{training.task}-{size}"
    shared["duration"] = duration
    return f"{said}-{duration}-{config_hash(shared)[:6]}".replace(":", "-")


def _timed(store: ResultStore) -> list[RunResult]:
    """The newest timing of each model on the machine that was timed last."""
    timings = store.records("timing")
    models: dict[str, list[Any]] = {}
    for timing in timings:
        if timing.machine == timings[-1].machine:
            models.setdefault(str(timing.key.architecture), []).append(timing)
    return [RunResult(None, None, (representative(own),), None) for own in models.values()]
