"""The folder of records, the DataFrame made of them, and the papers' tables beside them.

Records are JSON files, written whole or not at all. Figures from papers are CSV files and never
become records.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from eomtlib.core.atomic_files import config_hash, write_file
from eomtlib.core.errors import ConfigurationError, RecordError, check_choice
from eomtlib.models.encoders import timm_name
from eomtlib.models.ladder import LADDER
from eomtlib.models.options import ModelOptions
from eomtlib.study.records import (
    KINDS,
    EvaluationRecord,
    Record,
    TimingRecord,
    TrainingRecord,
    from_json,
    to_json,
)


class ResultStore:
    """A folder of records.

    Args:
        results_dir: made when something is written. Records are in its folder ``records``.

    Attributes:
        root: that folder.
    """

    def __init__(self, results_dir: str | Path) -> None:
        self.root = Path(results_dir).expanduser()
        self._known: dict[Path, tuple[tuple[int, ...], Record]] = {}

    def write(self, record: Record) -> Path:
        """Writes a record whole or not at all, and returns its path."""
        path = self.root / "records" / f"{record.id}.json"
        write_file(path, to_json(record))
        return path

    def read(self, path: str | Path) -> Record:
        """Reads one file.

        Raises:
            RecordError: when it is no valid record; names the file, the field, what was expected
                and what was found.
        """
        path = Path(path)
        try:
            record = from_json(path.read_bytes())
            if path.stem != record.id:
                raise RecordError(f"The id inside, {record.id!r}, is not the file's name.")
        except (RecordError, OSError) as error:
            raise RecordError(
                f"{path}: {error} If this is no record of eomtlib, move the file away."
            ) from error
        return record

    def records(self, kind: str | None = None, **equals: Any) -> list[Record]:
        """All records, or those whose fields (or ``machine``) have the given values, oldest first.

        Raises:
            ConfigurationError: for a kind or a field that no record has.
            RecordError: when a file in the folder is no valid record.
        """
        kinds = [KINDS[check_choice("kind", kind, KINDS)]] if kind else list(KINDS.values())
        known = {f.name for cls in kinds for f in fields(cls)} | {"machine"}
        for name in equals:
            check_choice("field", name, sorted(known))
        wanted = {k: tuple(v) if isinstance(v, list) else v for k, v in equals.items()}
        # Names that begin with a dot are temporary files, left by a process that was killed.
        paths = [p for p in (self.root / "records").glob("*.json") if not p.name.startswith(".")]
        read = [self._read_once(path) for path in sorted(paths)]
        found = [r for r in read if r.kind in {c.kind for c in kinds} and _matches(r, wanted)]
        return sorted(found, key=lambda r: (datetime.fromisoformat(r.created), r.id))

    def _read_once(self, path: Path) -> Record:
        """``read``; a file that was read before and has not changed is not read again."""
        state = path.stat()
        version = (state.st_mtime_ns, state.st_size, state.st_ino)
        if self._known.get(path, (None,))[0] != version:
            self._known[path] = version, self.read(path)
        return self._known[path][1]

    def find(self, kind: str, **equals: Any) -> Record | None:
        """The newest of ``records(kind, **equals)``, or None."""
        found = self.records(kind, **equals)
        return found[-1] if found else None


_COLUMNS = (
    *("evaluation_id", "training_id", "timing_id", "rung", "size", "pretraining", "dataset"),
    *(
        "configuration",
        "options",
        "split",
        "num_images",
        "task",
        "inference_masking",
        "input_size",
        "label",
    ),
    *(f"{name}{part}" for name in ("pq", "sq", "rq", "n") for part in ("", "_things", "_stuff")),
    *("steps", "epochs", "batch_size", "seed", "wall_time_s", "peak_memory_mib", "final_loss"),
    *("params_m", "gmacs", "cost_image_size", "fps", "fps_end_to_end", "mode", "dtype"),
    *("sampler", "attention_kernel", "machine", "created"),
)


def to_dataframe(records: Iterable[Record]) -> pd.DataFrame:
    """One row per evaluation, with its training and a timing that belongs to it.

    A timing belongs to an evaluation if it is of the same architecture and of the same machine. Of
    several at the newest one's image size, the fastest mode and sampler are shown, by their newest
    timing.
    Cells without a value are empty; sizes are ``height x width`` texts, such as ``640x640``.
    Metrics other than PQ's get columns of their own at the end.

    Args:
        records: of any kinds, such as ``store.records()``.
    """
    by_kind: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for record in sorted(records, key=lambda r: datetime.fromisoformat(r.created)):
        by_kind[record.kind].append(record)
    trainings = {record.id: record for record in by_kind["training"]}
    rows = []
    for evaluation in by_kind["evaluation"]:
        training = trainings.get(evaluation.training_id)
        timings = [t for t in by_kind["timing"] if _belongs(t, evaluation, training)]
        rows.append(_row(evaluation, training, _representative(timings)))
    others = dict.fromkeys(name for row in rows for name in row if name not in _COLUMNS)
    return pd.DataFrame(rows, columns=[*_COLUMNS, *others])


def paper_dir() -> Path:
    """The folder of the papers' tables.

    ``$EOMTLIB_PAPER_TABLES``, else ``results/paper`` of the repository that holds the package, else
    of the current directory or one above it.

    Raises:
        ConfigurationError: when there is none.
    """
    named = os.environ.get("EOMTLIB_PAPER_TABLES")
    roots = [Path(__file__).parents[2], Path.cwd(), *Path.cwd().parents]
    candidates = [Path(named)] if named else [root / "results" / "paper" for root in roots]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise ConfigurationError(
        f"EOMTLIB_PAPER_TABLES={named!r} is no folder."
        if named
        else "The papers' tables are not here: set EOMTLIB_PAPER_TABLES to results/paper of "
        "eomtlib's repository, or run inside the repository."
    )


def load_paper_table(name: str) -> pd.DataFrame:
    """A table of the papers as printed, such as ``eomt_table1_ladder``; empty cells are NaN.

    Raises:
        ConfigurationError: for an unknown name, or when the tables are not at hand.
    """
    tables = {path.stem: path for path in sorted(paper_dir().glob("*.csv"))}
    return pd.read_csv(tables[check_choice("name", name, tables)])


_UNSAID: dict[str, dict[str, str]] = {
    "eomt_table1_ladder": {"size": "large", "pretraining": "dinov2"},
    "eomt_table2_pretraining": {"size": "large"},
    "eomt_table3_size": {"pretraining": "dinov2"},
    "eomt_tableD_query_blocks": {"size": "large", "pretraining": "dinov2", "rung": "eomt"},
}


def paper_models(name: str) -> list[dict[str, Any]]:
    """The rows of a table of the EoMT paper whose models are of the ladder, on COCO at 640.

    Args:
        name: ``eomt_table1_ladder``, ``eomt_table2_pretraining``, ``eomt_table3_size`` or
            ``eomt_tableD_query_blocks``.

    Returns:
        Each with ``rung``, ``size`` and ``pretraining``, also where the table leaves them unsaid,
        and with what it prints.
    """
    return [_UNSAID[name] | row for row in load_paper_table(name).to_dict("records")]


def _matches(record: Record, wanted: dict[str, Any]) -> bool:
    names = {f.name for f in fields(record)} | {"machine"}
    return all(name in names and getattr(record, name) == value for name, value in wanted.items())


def _belongs(
    timing: TimingRecord, evaluation: EvaluationRecord, training: TrainingRecord | None
) -> bool:
    config = training.config if training else {}
    classes = config.get("classes")
    stated = {
        "rung": evaluation.rung,
        "size": evaluation.size,
        "task": evaluation.task,
        "num_queries": config.get("num_queries"),
        "num_classes": len(classes) if isinstance(classes, list) else config.get("num_classes"),
    }
    same = _matches(timing, {name: value for name, value in stated.items() if value is not None})
    options = ModelOptions(**config.get("options", {})).of_architecture()
    own = LADDER[timing.rung].inference_masking if timing.rung in LADDER else evaluation.masking
    # Pretrainings may share an architecture, which costs what it costs.
    architectures = {timm_name(r.size, r.pretraining) for r in (timing, evaluation)}
    # What was trained beside others had fewer threads than a model that is timed alone.
    hardware = {r.environment.hardware for r in (timing, evaluation)}
    return (
        same
        and len(architectures) == 1
        and len(hardware) == 1
        and timing.options == options
        and (timing.masking or own) == evaluation.masking
    )


def _representative(timings: list[TimingRecord]) -> TimingRecord | None:
    """Of timings from the oldest to the newest, the one to show."""
    comparable = [
        t
        for t in timings
        if (t.cost_image_size, t.method) == (timings[-1].cost_image_size, timings[-1].method)
    ]
    newest = {(t.mode, t.sampler, t.dtype): t for t in comparable}
    return max(newest.values(), key=lambda t: t.fps_model, default=None)


def _row(
    evaluation: EvaluationRecord, training: TrainingRecord | None, timing: TimingRecord | None
) -> dict[str, Any]:
    row: dict[str, Any] = {"evaluation_id": evaluation.id}
    named = ("training_id", "rung", "size", "pretraining", "dataset", "split", "num_images", "task")
    for name in (*named, "label", "machine", "created"):
        row[name] = getattr(evaluation, name)
    row["inference_masking"] = evaluation.masking
    row["input_size"] = _size(evaluation.input_size)
    if training is not None:
        for name in ("steps", "epochs", "batch_size", "seed", "wall_time_s", "peak_memory_mib"):
            row[name] = getattr(training, name)
        shared = {name: value for name, value in training.config.items() if name != "seed"}
        row["configuration"] = config_hash(shared)
        row["options"] = _spelled(training.config.get("options", {}))
        row |= {"final_loss": training.final_loss, "params_m": training.parameters_m}
    if timing is not None:
        for name in ("params_m", "gmacs", "fps_end_to_end", "mode", "dtype", "sampler"):
            row[name] = getattr(timing, name)
        row |= {"timing_id": timing.id, "fps": timing.fps_model}
        row["attention_kernel"] = timing.attention_kernel
        row["cost_image_size"] = _size(timing.cost_image_size)
    return row | evaluation.metrics


def _spelled(options: dict[str, Any]) -> str:
    """``{"taps": [2, 5]}`` → ``taps=2,5``; empty where the rung is as the papers build it."""
    texts = {
        name: ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for name, value in options.items()
    }
    return " ".join(f"{name}={text}" for name, text in texts.items())


def _size(height_width: tuple[int, int]) -> str:
    return "{}x{}".format(*height_width)
