"""The three kinds of records and their schema: what was trained, evaluated and timed.

A record is checked when it is written and when it is read. Figures from papers are never records.
"""

from __future__ import annotations

import math
import re
import uuid
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, ClassVar

from eomtlib.core.errors import RecordError
from eomtlib.core.machine.cpu_products import DEFAULT
from eomtlib.core.machine.environment import Environment
from eomtlib.evaluation.metrics.confusion import from_texts
from eomtlib.study.records.keys import Architecture, EvaluationKey, TimingKey, TrainingKey

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Record:
    """What all three kinds have.

    In a file what is not finite is null. It is read as None, as NaN among the figures of a dict,
    and refused where a number must be.

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
        if not self.id:
            made_up = f"{self.kind}-{self.rung}-{self.size}-{uuid.uuid4().hex[:10]}"
            object.__setattr__(self, "id", made_up)
        # The id becomes a file name.
        if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", self.id, re.ASCII):
            raise field_error("id", "letters, digits and . _ + -", self.id)
        if not _is_aware_time(self.created):
            raise field_error("created", "an ISO date with time zone", self.created)


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
        peak_memory_mib, peak_memory_method: as ``core.memory.PeakMemory`` gives them.
        parameters_m: millions of parameters.
        final_loss: None where it was not finite.
        checkpoint: path of the weights relative to the results folder.
        log: path of the curves relative to the results folder.
        pretraining_used: what ``auto`` came to, or the file of the weights.
        surplus_segments: segments that found no query, over the run.
        validation_s: seconds spent in validation, over all sittings; not in ``wall_time_s``.
        skipped_steps: steps left out because their gradient was not finite.
        best: step and figure of the weights that validation found best; they were chosen on the
            images that judge them. The figures of a run are those of its last weights.
        label: what must stand beside its figures, empty where nothing must.
        activation_checkpointing: whether blocks were computed again in the backward pass.
        interrupted_resumes: how often it went on after an interruption.
        processes: that shared each step.
        jobs: trainings at once on the machine, this one among them.
        skipped_images: of the training split, left out for what is wrong with them.
        gradient_accumulation: parts that each of them computed its share in.
        methods: the numbers of how it was done, and how its figures are come by (``METHODS``).
        code: ``core.code_digest`` of what trained it, joined by ``+`` where it went on under
            another; empty in older records. Its threads are the environment's.
        products: what multiplied its matrices (``core.machine.cpu_products``).
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
    validation_s: float = 0.0
    skipped_steps: int = 0
    best: dict[str, float] = field(default_factory=dict)
    label: str = ""
    activation_checkpointing: bool = False
    interrupted_resumes: int = field(default=0, compare=False)
    processes: int = 1
    gradient_accumulation: int = 1
    jobs: int = 1
    skipped_images: int = 0
    methods: dict[str, int] = field(default_factory=dict)
    code: str = ""
    products: str = DEFAULT

    @property
    def key(self) -> TrainingKey:
        """What it is found by."""
        stated = ("size", "pretraining", "dataset", "task", "image_size", "batch_size", "seed")
        own = {name: getattr(self, name) for name in ("rung", *stated)}
        return TrainingKey.of(own | self.config)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("checkpoint", self.checkpoint), ("log", self.log)):
            path = PurePosixPath(value or ".")
            if path.is_absolute() or ".." in path.parts:
                raise field_error(name, "a path inside the results folder", value)


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
        data, method, post_processing: as in ``EvaluationKey``.
        skipped_images: of the split, left out for what is wrong with them.
        errors: what is lacking to the whole, and where it went (``metrics.metric.Result``).
        confusion: pixels by true and predicted class, as ``evaluation.metrics.confusion.as_texts``
            writes them, in the order of ``per_class``; empty where nobody counted.
        worst_images: id → its own figure, the worst first.
        variant: what was asked for instead of the evaluation that the run does of itself, such as
            another split; empty for that one. No table shows a variant as the run's figure.
    """

    kind: ClassVar[str] = "evaluation"

    training_id: str
    dataset: str
    split: str
    num_images: int
    task: str
    masking: str
    input_size: tuple[int, int]
    metrics: dict[str, float | None]
    per_class: dict[str, dict[str, float | None]]
    label: str = ""
    data: str = ""
    method: int = 1
    post_processing: int = 1
    skipped_images: int = 0
    errors: dict[str, Any] = field(default_factory=dict)
    confusion: tuple[str, ...] = ()
    worst_images: dict[str, float] = field(default_factory=dict)
    variant: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            rows = len(from_texts(self.confusion))
        except ValueError as error:
            raise field_error("confusion", "pixels by column, as 0:1200 7:35", error) from error
        if rows not in (0, len(self.per_class) + 1):
            raise field_error("confusion", f"{len(self.per_class) + 1} rows", rows)
        object.__setattr__(self, "metrics", _with_nan(self.metrics))
        per_class = {name: _with_nan(figures) for name, figures in self.per_class.items()}
        object.__setattr__(self, "per_class", per_class)

    @property
    def key(self) -> EvaluationKey:
        """What it is found by."""
        return EvaluationKey(**{f.name: getattr(self, f.name) for f in fields(EvaluationKey)})


@dataclass(frozen=True, kw_only=True)
class TimingRecord(Record):
    """What one architecture costs on one machine.

    Attributes:
        params_m: millions of parameters at ``cost_image_size``.
        gmacs: giga multiply-accumulates at ``cost_image_size``.
        cost_image_size: height and width that all of this holds for.
        fps_model: images a second of the model alone, one fixed input.
        fps_end_to_end: images a second from an image to its segmentation.
        rounds_model_s, rounds_end_to_end_s: of each round the seconds of each call.
        interval_model_s, interval_end_to_end_s: of the seconds of a call
            (``evaluation.speed.Timing.interval_s``).
        is_steady: whether the model's timing is (``Timing.is_steady``).
        photo_size: height and width of the image that the way end to end begins with.
        mode: one of ``timing.TIMING_MODES``.
        dtype: ``float32``, ``bfloat16``, ``float16``.
        attention_kernel: as ``evaluation.speed.attention_kernel`` names it.
        batch_size, num_classes, num_queries: of what was timed.
        masking: at inference, where it is not the rung's own; else None.
        options: of the architecture, where it is not the rung's own
            (``ModelOptions.of_architecture``).
        sampler: of deformable attention, ``pytorch`` or ``triton``; ``pytorch`` also where the
            architecture has none.
        method: what was timed: 1, the model as it was trained; 2, as inference runs it (folded
            weights, stored in ``dtype``; end to end, masks of kept queries only); 3, with float32
            on CPUs by ``core.machine.cpu_products``. FPS of different methods do not stand in one
            table.
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
    rounds_model_s: tuple[tuple[float, ...], ...] = ()
    rounds_end_to_end_s: tuple[tuple[float, ...], ...] = ()
    interval_model_s: tuple[float, float] | None = None
    interval_end_to_end_s: tuple[float, float] | None = None
    is_steady: bool | None = None
    photo_size: tuple[int, int] | None = None

    @property
    def key(self) -> TimingKey:
        """What it is found by."""
        own_masking = {"masking": self.masking} if self.masking else {}
        architecture = Architecture.of_rung(
            self.rung,
            size=self.size,
            pretraining=self.pretraining,
            task=self.task,
            num_classes=self.num_classes,
            num_queries=self.num_queries,
            options=self.options,
            **own_masking,
        )
        return TimingKey(
            architecture=architecture,
            image_size=self.cost_image_size,
            mode=self.mode,
            sampler=self.sampler,
            dtype=self.dtype,
            method=self.method,
            machine=self.machine,
            photo_size=self.photo_size,
            torch=self.environment.torch,
            driver=self.environment.driver,
        )


KINDS: dict[str, type[Record]] = {
    cls.kind: cls for cls in (TrainingRecord, EvaluationRecord, TimingRecord)
}


def _with_nan(figures: dict[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in figures.items()}


def field_error(name: str, expected: str, found: Any) -> RecordError:
    """What is wrong with a field."""
    return RecordError(f"field {name!r} should be {expected}, but is {repr(found)[:80]}.")


def _is_aware_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
