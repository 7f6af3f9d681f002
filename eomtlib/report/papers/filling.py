"""What was measured, cell by cell beside what is printed; empty where nothing was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from eomtlib.core.words import PAPER_SIZES
from eomtlib.evaluation.costs import count_costs
from eomtlib.models.ladder import LADDER
from eomtlib.report.papers.catalogue import COSTS, ModelRow, PrintedTable
from eomtlib.report.papers.printed import load_paper_table
from eomtlib.report.timings import representative
from eomtlib.study.records.kinds import (
    KINDS,
    EvaluationRecord,
    Record,
    TimingRecord,
    TrainingRecord,
)
from eomtlib.study.records.store import ResultStore

Count = Callable[[ModelRow], tuple[float | None, float | None]]
"""A model → its parameters in millions and its GMACs."""

_BATCH_SIZE = 16  # of all the papers' schedules


def read_records(folders: Iterable[str | Path]) -> list[Record]:
    """The records of results folders and of all folders in them, each once, oldest first.

    Raises:
        RecordError: when a file among them is no valid record.
    """
    found: dict[str, Record] = {}
    for folder in folders:
        for path in sorted(Path(folder).expanduser().resolve().rglob("records/*.json")):
            # Benchmarks keep files of another kind in folders of the same name.
            if path.name.partition("-")[0] in KINDS:
                record = ResultStore(path.parents[1]).read(path)
                found[record.id] = record
    return sorted(found.values(), key=lambda r: (datetime.fromisoformat(r.created), r.id))


def machines(records: Iterable[Record]) -> list[str]:
    """The machines that models of the papers' sizes were timed on, most timings first."""
    timings = [r for r in records if isinstance(r, TimingRecord) and r.size in PAPER_SIZES]
    return [machine for machine, _ in Counter(t.machine for t in timings).most_common()]


def count_model(model: ModelRow) -> tuple[float | None, float | None]:
    """Millions of parameters and GMACs of a model; None where it looks at windows of an image."""
    if model.task == "semantic":
        return None, None
    masked = None if model.inference_masking is None else model.inference_masking == "masked"
    return count_costs(
        model.rung,
        masked=masked,
        size=model.size,
        pretraining=model.pretraining,
        image_size=model.image_size[0],
        num_classes=model.num_classes,
        num_queries=model.num_queries,
        query_blocks=model.query_blocks,
    )


def fill(
    table: PrintedTable,
    records: Sequence[Record],
    *,
    machine: str | None = None,
    count: Count | None = None,
) -> pd.DataFrame:
    """A table as printed, with a column of what was measured behind each column of figures.

    Accuracies are means over the seeds of full schedules on the whole validation set; shortened
    trainings do not count. FPS may be of a model with other classes, whose head costs next to
    nothing; parameters and GMACs may not.

    Args:
        table: of ``PRINTED_TABLES``.
        records: to look for figures in, oldest first, as ``read_records`` returns them.
        machine: whose FPS are shown; none where None.
        count: gives parameters and GMACs where no record has them, such as ``count_model``.

    Returns:
        Columns as in the CSV file, each that is of models of ours followed by ``<column> here``.
    """
    printed = load_paper_table(table.name)
    columns: dict[str, Any] = {}
    for column in printed:
        columns[column] = printed[column]
        figures = [table.figure(row, column) for row in printed.to_dict("records")]
        if any(figures):
            columns[f"{column} here"] = [
                figure and _measured(*figure, records, machine, count) for figure in figures
            ]
    return pd.DataFrame(columns)


def _measured(
    figure: str,
    model: ModelRow,
    records: Sequence[Record],
    machine: str | None,
    count: Count | None,
) -> float | None:
    name, _, mode = figure.partition(":")
    if name not in COSTS:
        return _accuracy(model, name, records)
    timings = [
        r
        for r in records
        if isinstance(r, TimingRecord)
        and r.cost_image_size == model.image_size
        and r.key.architecture.agrees(model.architecture)
    ]
    if name == "fps":
        own = [t for t in timings if t.machine == machine and (not mode or t.mode == mode)]
        return representative(own).fps_model if own else None
    same = [t for t in timings if t.num_classes == model.num_classes]
    if same:
        return getattr(same[-1], name)
    return None if count is None else count(model)[COSTS.index(name)]


def _accuracy(model: ModelRow, metric: str, records: Sequence[Record]) -> float | None:
    trainings = {r.id: r for r in records if isinstance(r, TrainingRecord)}
    by_seed: dict[int, float] = {}
    for record in records:
        if not isinstance(record, EvaluationRecord) or record.variant or record.label:
            continue
        if metric in record.metrics:
            training = trainings.get(record.training_id)
            if training is not None and _has_learned(training, record, model):
                by_seed[training.seed] = record.metrics[metric]
    return sum(by_seed.values()) / len(by_seed) if by_seed else None


def _has_learned(training: TrainingRecord, record: EvaluationRecord, model: ModelRow) -> bool:
    key = training.key
    return (
        key.architecture(record.masking).agrees(model.architecture)
        and (record.size, record.pretraining) == (model.size, model.pretraining)
        and (record.dataset, record.task) == (model.dataset, model.task)
        and (record.input_size, record.num_images) == (model.image_size, model.num_images)
        and training.batch_size == _BATCH_SIZE
        and key.options.get("masking", LADDER[record.rung].masking) == model.trained_masking
        and not set(key.options) - {"masking", "query_blocks"}
    )
