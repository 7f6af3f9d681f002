"""The studies of a results folder, found again by their records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.files.atomic_files import config_hash
from eomtlib.models.ladder import LADDER, masking_after
from eomtlib.report.frame import to_dataframe
from eomtlib.study.records.kinds import TrainingRecord
from eomtlib.study.records.store import ResultStore, RunResult

_APART = ("rung", "seed", "recipe", "options")
"""In what the trainings of one study may differ."""


@dataclass
class RecordedStudy:
    """Runs that differ in rung, seed, options and hyper-parameters, and in nothing else.

    Attributes:
        name: says what they have in common.
        results: of each run, in the ladder's order.
    """

    name: str
    results: list[RunResult] = field(default_factory=list)

    @property
    def created(self) -> str:
        """When its newest run was done, ISO 8601."""
        return max((r.training or r.timing).created for r in self.results)


def recorded_studies(store: ResultStore) -> dict[str, RecordedStudy]:
    """Name → study, of all that a results folder has records of, the newest first.

    Of each run the newest evaluation counts, and the timing that ``frame.to_dataframe`` finds.

    Raises:
        ConfigurationError: where no training was evaluated.
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
        raise ConfigurationError(
            f"results_dir={str(store.root)!r} holds no records of a model that was trained and "
            "evaluated; name the folder that `fit` or a notebook wrote to."
        )
    for study in studies.values():
        study.results.sort(key=lambda r: (LADDER[r.training.rung].step, r.training.seed))
    return dict(sorted(studies.items(), key=lambda item: item[1].created, reverse=True))


def variants(results: Sequence[RunResult]) -> list[str]:
    """What tells each run from others of its rung besides the seed; empty where nothing does."""
    rows: list[dict[str, Any]] = []
    for result in results:
        first = result.training or result.timing
        row = {name: getattr(first, name) for name in ("rung", "size", "pretraining")}
        if result.training is not None and result.evaluation is not None:
            options = result.training.key.options or {}
            usual = masking_after(options.get("masking") or LADDER[first.rung].masking)
            run = result.evaluation.masking
            row |= options | (result.training.key.recipe or {})
            row["inference"] = "" if run == usual else run
        rows.append(row)
    table = pd.json_normalize(rows).astype(object)
    table = table.where(table.notna(), "").map(lambda v: f"{v:g}" if isinstance(v, float) else v)
    counts = table.map(str).groupby("rung").transform("nunique").gt(1)
    return [
        ", ".join(f"{n.rpartition('.')[2]} {row[n]}" for n in counts if differs[n] and row[n] != "")
        for row, differs in zip(table.to_dict("records"), counts.to_dict("records"), strict=True)
    ]


def _name(training: TrainingRecord) -> str:
    shared = training.key.config(without=_APART)
    # A frozen encoder's decoder may have other epochs of its own (``study.defaults``).
    whole = f"{(training.key.recipe or {}).get('epochs')}epochs"
    duration = "recipe" if training.key.duration == whole else f"{training.steps}steps"
    size = "x".join(map(str, training.image_size))
    said = f"{training.size}-{training.pretraining}-{training.dataset}-{training.task}-{size}"
    shared["duration"] = duration
    return f"{said}-{duration}-{config_hash(shared)[:6]}".replace(":", "-")
