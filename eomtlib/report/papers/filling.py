"""What was measured, cell by cell beside what is printed; empty where nothing was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from eomtlib.core.words import PAPER_SIZES
from eomtlib.models.ladder import LADDER, masking_after
from eomtlib.report.papers.catalogue import COSTS, ModelRow, PrintedTable
from eomtlib.study.records import EvaluationRecord, Record, TimingRecord, TrainingRecord
from eomtlib.study.store import ResultStore, load_paper_table

_BATCH_SIZE = 16  # of all the papers' schedules


def read_records(folders: Iterable[str | Path]) -> list[Record]:
    """The records of results folders and of all folders in them, each once, oldest first.

    Raises:
        RecordError: when a file among them is no valid record.
    """
    roots = {
        path.parent.resolve()
        for folder in folders
        for path in sorted(Path(folder).expanduser().rglob("records"))
        if path.is_dir()
    }
    found = {r.id: r for root in sorted(roots) for r in _segmentation_records(root)}
    return sorted(found.values(), key=lambda r: (datetime.fromisoformat(r.created), r.id))


def _segmentation_records(root: Path) -> list[Record]:
    # Benchmarks keep files of another kind in folders of the same name.
    store = ResultStore(root)
    kinds = ("training", "evaluation", "timing")
    paths = sorted(path for kind in kinds for path in (root / "records").glob(f"{kind}-*.json"))
    return [store.read(path) for path in paths]


def machines(records: Iterable[Record]) -> list[str]:
    """The machines that models of the papers' sizes were timed on, most timings first."""
    counts: dict[str, int] = {}
    for record in records:
        if isinstance(record, TimingRecord) and record.size in PAPER_SIZES:
            counts[record.machine] = counts.get(record.machine, 0) + 1
    return sorted(counts, key=lambda machine: -counts[machine])


def fill(
    table: PrintedTable,
    records: Sequence[Record],
    *,
    machine: str | None = None,
    count: Callable[[ModelRow], tuple[float, float]] | None = None,
) -> pd.DataFrame:
    """A table as printed, with a column of what was measured behind each column of figures.

    Accuracies are means over the seeds of full schedules on the whole validation set; shortened
    trainings do not count. FPS may be of a model with other classes, whose head costs next to
    nothing; parameters and GMACs may not.

    Args:
        table: of ``PRINTED_TABLES``.
        records: to look for figures in, oldest first, as ``read_records`` returns them.
        machine: whose FPS are shown; none where None.
        count: a model → its parameters in millions and its GMACs, where no record has them.

    Returns:
        Columns as in the CSV file, each figure followed by ``<column> here``.
    """
    printed = load_paper_table(table.name)
    rows = printed.to_dict("records")
    columns: dict[str, list[Any]] = {}
    for name in printed:
        columns[name] = [row[name] for row in rows]
        if name in table.figures:
            columns[f"{name} here"] = [
                _measured(table, row, name, records, machine, count) for row in rows
            ]
    return pd.DataFrame(columns)


def _measured(
    table: PrintedTable,
    row: Mapping[str, Any],
    column: str,
    records: Sequence[Record],
    machine: str | None,
    count: Callable[[ModelRow], tuple[float, float]] | None,
) -> float | None:
    if pd.isna(row[column]):
        return None
    model = table.find(row, column)
    if model is None:
        return None
    figure = row["metric"] if table.figures[column] == "metric" else table.figures[column]
    name, _, mode = figure.partition(":")
    if name not in COSTS:
        return _accuracy(model, name, records)
    timings = [r for r in records if isinstance(r, TimingRecord) and _is_of(r, model)]
    if name == "fps":
        own = [t for t in timings if t.machine == machine and (not mode or t.mode == mode)]
        newest = [t for t in own if t.method == max(o.method for o in own)]
        return max((t.fps_model for t in newest), default=None)
    same = [t for t in timings if t.num_classes == model.num_classes]
    if same:
        return getattr(same[-1], name)
    return None if count is None else count(model)[("params_m", "gmacs").index(name)]


def _is_of(timing: TimingRecord, model: ModelRow) -> bool:
    inference = model.inference_masking or masking_after(model.masking or _own_masking(model))
    blocks = model.chosen_query_blocks
    return (
        _named(timing) == _named(model)
        and timing.cost_image_size == model.image_size
        and timing.num_queries == model.num_queries
        and (timing.masking or LADDER[timing.rung].inference_masking) == inference
        and timing.options == ({} if blocks is None else {"query_blocks": blocks})
    )


def _accuracy(model: ModelRow, metric: str, records: Sequence[Record]) -> float | None:
    trainings = {r.id: r for r in records if isinstance(r, TrainingRecord)}
    by_seed: dict[int, float] = {}
    for record in records:
        if not isinstance(record, EvaluationRecord) or record.label:
            continue
        training = trainings.get(record.training_id)
        if training is not None and _has_learned(training, record, model):
            value = record.metrics.get(metric)
            if value is not None:
                by_seed[training.seed] = value
    return sum(by_seed.values()) / len(by_seed) if by_seed else None


def _has_learned(training: TrainingRecord, record: EvaluationRecord, model: ModelRow) -> bool:
    options = training.config.get("options", {})
    masking = model.masking or _own_masking(model)
    return (
        _named(record) == _named(model)
        and (record.dataset, record.task) == (model.dataset, model.task)
        and record.input_size == model.image_size
        and record.num_images == model.num_images
        and training.config.get("num_queries") == model.num_queries
        and training.batch_size == _BATCH_SIZE
        and options.get("masking", LADDER[record.rung].masking) == masking
        and record.masking == (model.inference_masking or masking_after(masking))
        and options.get("query_blocks") == model.chosen_query_blocks
        and not set(options) - {"masking", "query_blocks"}
    )


def _own_masking(model: ModelRow) -> str:
    return LADDER[model.rung].masking


def _named(what: ModelRow | TimingRecord | EvaluationRecord) -> tuple[str, str, str]:
    return what.rung, what.size, what.pretraining
