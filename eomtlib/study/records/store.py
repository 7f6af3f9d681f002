"""The folder of records: JSON files, written whole or not at all."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from eomtlib.core.errors import RecordError, check_choice
from eomtlib.core.files.atomic_files import write_file
from eomtlib.study.records.json_files import from_json, to_json
from eomtlib.study.records.kinds import (
    KINDS,
    EvaluationRecord,
    Record,
    TimingRecord,
    TrainingRecord,
)

RecordT = TypeVar("RecordT", bound=Record)


class ResultStore:
    """A folder of records.

    Args:
        results_dir: made when something is written. Records are in its folder ``records``.

    Attributes:
        root: that folder.
    """

    def __init__(self, results_dir: str | Path) -> None:
        self.root = Path(results_dir).expanduser()
        self._known: dict[Path, tuple[tuple[int, ...], Record | None]] = {}

    def write(self, record: RecordT) -> RecordT:
        """Writes a record whole or not at all, and returns it as it is read again.

        Raises:
            RecordError: when a field has a value that does not belong there.
        """
        content = to_json(record)
        checked = from_json(content)
        write_file(self.path(record), content)
        return checked

    def path(self, record: Record) -> Path:
        """Where a record is, or goes."""
        return self.root / "records" / f"{record.id}.json"

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

        A file that is no record, or that of a newer version, is passed over with a warning.

        Raises:
            ConfigurationError: for a kind or a field that no record has.
        """
        kinds = [KINDS[check_choice("kind", kind, KINDS)]] if kind else list(KINDS.values())
        known = {f.name for cls in kinds for f in fields(cls)} | {"machine", "key"}
        for name in equals:
            check_choice("field", name, sorted(known))
        wanted = {k: tuple(v) if isinstance(v, list) else v for k, v in equals.items()}
        # Names that begin with a dot are temporary files, left by a process that was killed.
        paths = [p for p in (self.root / "records").glob("*.json") if not p.name.startswith(".")]
        read = filter(None, map(self._read_once, sorted(paths)))
        found = [r for r in read if r.kind in {c.kind for c in kinds} and _matches(r, wanted)]
        return sorted(found, key=lambda r: (datetime.fromisoformat(r.created), r.id))

    def _read_once(self, path: Path) -> Record | None:
        """``read``; a file that was read before and has not changed is not read again."""
        try:
            state = path.stat()
        except FileNotFoundError:  # deleted since it was listed
            return None
        version = (state.st_mtime_ns, state.st_size, state.st_ino)
        if self._known.get(path, (None,))[0] != version:
            try:
                record = self.read(path)
            except RecordError as error:
                warnings.warn(f"Passed over: {error}", stacklevel=2)
                record = None
            self._known[path] = version, record
        return self._known[path][1]

    def find(self, kind: str, **equals: Any) -> Record | None:
        """The newest of ``records(kind, **equals)``, or None."""
        found = self.records(kind, **equals)
        return found[-1] if found else None


def _matches(record: Record, wanted: dict[str, Any]) -> bool:
    names = {f.name for f in fields(record)} | {"machine", "key"}
    return all(name in names and getattr(record, name) == value for name, value in wanted.items())


@dataclass(frozen=True)
class RunResult:
    """The records of a run.

    Attributes:
        training, evaluation: None where nothing was trained; of a training that has not ended,
            what its last state comes to.
        timings: of the architecture on this machine, in every mode, with every sampler.
        folder: weights and curves; None where nothing was trained.
    """

    training: TrainingRecord | None
    evaluation: EvaluationRecord | None
    timings: tuple[TimingRecord, ...]
    folder: Path | None

    @property
    def timing(self) -> TimingRecord | None:
        """In the fastest mode and with the fastest sampler; None where it was not timed."""
        (own,) = in_turns([self.timings])
        return fastest(own) if own else None

    @property
    def unfinished(self) -> str:
        """How far a training is that has not ended; empty for what has, or never began."""
        return self.evaluation.label if self.evaluation and self.training is None else ""


def in_turns(models: Sequence[Sequence[TimingRecord]]) -> list[tuple[TimingRecord, ...]]:
    """Of what was timed more than once what belongs together: speeds of one session may be divided.

    Args:
        models: the timings of each of the models that are shown beside each other.

    Returns:
        Of each, one timing for every mode, sampler and number format: of the session that has most
        of the models, and of the newest of such sessions.
    """
    covered = Counter(session for own in models for session in {t.session for t in own} - {""})

    def rank(timing: TimingRecord) -> tuple[int, datetime]:
        return covered[timing.session], datetime.fromisoformat(timing.created)

    return [
        tuple({(t.mode, t.sampler, t.dtype): t for t in sorted(own, key=rank)}.values())
        for own in models
    ]


def fastest(records: Sequence[TimingRecord]) -> TimingRecord:
    """Of the timings of one architecture in several ways, the one of most images a second.

    A rung whose sampler is a choice is shown with the faster one, as whoever uses it would choose.
    """
    return max(records, key=lambda record: record.fps_model)
