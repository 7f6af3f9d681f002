"""The three kinds of records and their schema: what was trained, evaluated and timed.

A record is checked when it is made and when it is read. Figures from papers are never records.
"""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from numbers import Integral, Real
from pathlib import PurePosixPath
from types import UnionType
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from eomtlib.core.environment import Environment
from eomtlib.core.errors import RecordError

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Record:
    """What all three kinds have.

    A float that may be None is None where it is not finite, figures in a dict are NaN there, and
    any other float must be finite.

    Attributes:
        rung, size, pretraining: of the model.
        environment: where it was made.
        created: time in UTC, ISO 8601.
        id: name of the file, and how other records refer to it; made up where it is not given.

    Raises:
        RecordError: when a field has a value that does not belong there.
    """

    kind: ClassVar[str]

    rung: str
    size: str
    pretraining: str
    environment: Environment
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    id: str = ""

    @property
    def machine(self) -> str:
        """``environment.machine``."""
        return self.environment.machine

    def __post_init__(self) -> None:
        _check_fields(self, f"{self.kind} record")
        if not self.id:
            made_up = f"{self.kind}-{self.rung}-{self.size}-{uuid.uuid4().hex[:10]}"
            object.__setattr__(self, "id", made_up)
        # The id becomes a file name.
        if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", self.id, re.ASCII):
            raise _error("id", "letters, digits and . _ + -", self.id, f"{self.kind} record")
        if not _is_aware_time(self.created):
            raise _error("created", "an ISO date with time zone", self.created, self.kind)


@dataclass(frozen=True, kw_only=True)
class TrainingRecord(Record):
    """A finished training run.

    Attributes:
        config: everything that decides the outcome; JSON values only.
        config_hash: ``config_hash(config)``.
        dataset, task: what was learned.
        image_size: height and width.
        steps, epochs, batch_size, seed: of the run; the batch over all processes.
        wall_time_s: seconds in steps, over all sittings.
        peak_memory_mib, peak_memory_method: as ``evaluation.cost.PeakMemory`` gives them.
        parameters_m: millions of parameters.
        final_loss: None where it was not finite.
        checkpoint: path of the weights relative to the results folder.
        log: path of the curves relative to the results folder.
        pretraining_used: what ``auto`` came to, or the file of the weights.
        surplus_segments: segments that found no query, over the run.
        label: what must stand beside its figures, empty where nothing must.
        activation_checkpointing: whether blocks were computed again in the backward pass.
        interrupted_resumes: how often it went on after an interruption.
        processes: that shared each step.
        gradient_accumulation: parts that each of them computed its share in.
    """

    kind: ClassVar[str] = "training"

    config: dict[str, Any]
    config_hash: str
    dataset: str
    task: str
    image_size: tuple[int, int]
    steps: int
    epochs: float
    batch_size: int
    seed: int
    wall_time_s: float
    peak_memory_mib: float
    parameters_m: float
    final_loss: float | None
    checkpoint: str
    peak_memory_method: str = ""
    log: str | None = None
    pretraining_used: str | None = None
    surplus_segments: int = 0
    label: str = ""
    activation_checkpointing: bool = False
    interrupted_resumes: int = field(default=0, compare=False)
    processes: int = 1
    gradient_accumulation: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("checkpoint", self.checkpoint), ("log", self.log)):
            path = PurePosixPath(value or ".")
            if path.is_absolute() or ".." in path.parts:
                raise _error(name, "a path inside the results folder", value, "training record")


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord(Record):
    """Figures of one checkpoint on one data set.

    Attributes:
        training_id: ``id`` of the training record.
        dataset, split, num_images, task: what it was evaluated on.
        masking: at inference, ``masked`` or ``unmasked``.
        input_size: height and width of the images given to the model.
        metrics: ``pq``, ``sq``, ``rq`` with ``_things`` and ``_stuff``, or others, in percent.
        per_class: name of the class → its figures.
        label: what must stand beside them, empty where nothing must.
    """

    kind: ClassVar[str] = "evaluation"

    training_id: str
    dataset: str
    split: str
    num_images: int
    task: str
    masking: str
    input_size: tuple[int, int]
    metrics: dict[str, float]
    per_class: dict[str, dict[str, float]]
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class TimingRecord(Record):
    """What one architecture costs on one machine.

    Attributes:
        params_m: millions of parameters at ``cost_image_size``.
        gmacs: giga multiply-accumulates at ``cost_image_size``.
        cost_image_size: height and width that all of this holds for.
        fps_model: images a second of the model alone, one fixed input.
        fps_end_to_end: images a second from an image to its segmentation.
        samples_model_s, samples_end_to_end_s: raw samples, seconds a call.
        quartiles_model_s, quartiles_end_to_end_s: first quartile, median, third quartile.
        mode: one of ``timing.TIMING_MODES``.
        dtype: ``float32``, ``bfloat16``, ``float16``.
        attention_kernel: as ``evaluation.cost.attention_kernel`` names it.
        batch_size, num_classes, num_queries: of what was timed.
        masking: at inference, where it is not the rung's own; else None.
        options: of the architecture, where it is not the rung's own
            (``ModelOptions.of_architecture``).
        sampler: of deformable attention, ``pytorch`` or ``triton``; ``pytorch`` also where the
            architecture has none.
        method: what was timed: 1, the model as it was trained; 2, as inference runs it (folded
            weights, stored in ``dtype``; end to end, masks of kept queries only). FPS of different
            methods do not stand in one table.
        session: when the rounds began in which it was timed (ISO 8601). Models of one session were
            timed in turns, so that their ratios hold even where the machine's speed drifts.
        task: whose post-processing the way end to end has.
    """

    kind: ClassVar[str] = "timing"

    params_m: float
    gmacs: float
    cost_image_size: tuple[int, int]
    fps_model: float
    fps_end_to_end: float | None
    samples_model_s: tuple[float, ...]
    samples_end_to_end_s: tuple[float, ...]
    quartiles_model_s: tuple[float, float, float]
    quartiles_end_to_end_s: tuple[float, float, float] | None
    mode: str
    dtype: str
    attention_kernel: str
    batch_size: int
    num_classes: int
    num_queries: int
    masking: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    sampler: str = "pytorch"
    method: int = 1
    session: str = ""
    task: str = "panoptic"


KINDS: dict[str, type[Record]] = {
    cls.kind: cls for cls in (TrainingRecord, EvaluationRecord, TimingRecord)
}


def from_json(content: bytes) -> Record:
    """A record from the content of a file.

    Raises:
        RecordError: when it is no valid record; names the field, what was expected and what found.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"This is no JSON file ({error}).") from error
    if not isinstance(data, dict) or data.get("kind") not in list(KINDS):
        found = data.get("kind") if isinstance(data, dict) else data
        raise _error("kind", f"one of {', '.join(KINDS)}", found, "record")
    kind, written = data.pop("kind"), data.pop("schema_version", None)
    if written != SCHEMA_VERSION:
        raise _error("schema_version", str(SCHEMA_VERSION), written, f"{kind} record")
    try:
        return _build(KINDS[kind], data, f"{kind} record", required=("id", "created"))
    except OverflowError as error:
        raise RecordError(f"{kind} record: a number is too large ({error}).") from error


def to_json(record: Record) -> bytes:
    """The content of a file that ``from_json`` reads."""
    head = {"kind": record.kind, "schema_version": SCHEMA_VERSION}
    return as_json(head | _plain(record)).encode()


def as_json(content: dict[str, Any]) -> str:
    """Standard JSON: tuples as lists, NaN as null."""
    return json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """JSON's form: dataclasses as dicts, tuples as lists, NaN as null."""
    if isinstance(value, Record | Environment):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if _is_undefined(value) else value


def _build(cls: type, data: dict[str, Any], what: str, *, required: tuple[str, ...] = ()) -> Any:
    """An instance of a dataclass from a dict that was read."""
    for f in fields(cls):
        has_default = f.default is not MISSING or f.default_factory is not MISSING
        if f.name not in data and (not has_default or f.name in required):
            raise RecordError(f"{what}: the field {f.name!r} is missing.")
    unknown = sorted(set(data) - {f.name for f in fields(cls)})
    if unknown:
        raise RecordError(f"{what}: no such field as {unknown[0]!r} is known.")
    return cls(**data)


def _check_fields(record: Any, what: str) -> None:
    """Brings every field into the form that its annotation states, or raises RecordError."""
    hints = _hints(type(record))
    for f in fields(record):
        value = _checked(getattr(record, f.name), hints[f.name], f.name, what)
        object.__setattr__(record, f.name, value)


def _checked(value: Any, hint: Any, name: str, what: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return None if _is_undefined(value) else _checked(value, args[0], name, what)
    if hint is Environment:
        if isinstance(value, dict):
            value = _build(Environment, value, f"{what}, {name}")
        if isinstance(value, Environment):
            _check_fields(value, f"{what}, {name}")
            return value
    elif hint is Any:
        try:
            return json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError):
            raise _error(name, "a JSON value", value, what) from None
    elif origin is dict and isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        undefined = {k for k, v in value.items() if args[1] is float and _is_undefined(v)}
        return {
            k: math.nan if k in undefined else _checked(v, args[1], f"{name}[{k!r}]", what)
            for k, v in value.items()
        }
    elif origin is tuple and isinstance(value, list | tuple):
        length = None if args[-1] is Ellipsis else len(args)
        if length in (None, len(value)):
            return tuple(_checked(v, args[0], f"{name}[{i}]", what) for i, v in enumerate(value))
    elif isinstance(value, bool):
        if hint is bool:
            return value
    elif hint is int and isinstance(value, Integral):
        return int(value)
    elif hint is float and isinstance(value, Real) and math.isfinite(value):
        return float(value)
    elif hint is str and isinstance(value, str):
        return str(value)
    raise _error(name, _spelled(hint), value, what)


def _is_undefined(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _is_aware_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _error(name: str, expected: str, found: Any, what: str) -> RecordError:
    shown = repr(found)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return RecordError(f"{what}: field {name!r} should be {expected}, but is {shown}.")


def _spelled(hint: Any) -> str:
    names = {int: "a whole number", float: "a finite number", str: "a text"}
    return names.get(hint) or (hint.__name__ if isinstance(hint, type) else str(hint))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)
