"""What makes two runs the same: the keys of their records.

A training is found again by its ``TrainingKey``, an evaluation by its ``EvaluationKey``, a timing
by its ``TimingKey``. Records carry them, and whoever looks for records compares them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from eomtlib.core.files.atomic_files import config_hash
from eomtlib.models.encoder_names import timm_name
from eomtlib.models.ladder import HEAD_SIZES, LADDER
from eomtlib.models.options import ModelOptions


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What is run at inference, whatever its weights are. None stands for what a record lacks.

    Attributes:
        rung, size: names.
        encoder: timm's name of its architecture, which several pretrainings may share.
        task: whose post-processing it has.
        num_classes, num_queries: of the heads.
        masking: of attention, ``masked`` or ``unmasked``.
        options: of the architecture, where it is not the rung's own
            (``ModelOptions.of_architecture``).
    """

    rung: str
    size: str
    encoder: str
    task: str | None = None
    num_classes: int | None = None
    num_queries: int | None = None
    masking: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_rung(cls, rung: str, *, size: str, pretraining: str, **stated: Any) -> Architecture:
        """A rung as the papers build and run it, but for what is ``stated`` otherwise."""
        own = {
            "encoder": timm_name(size, pretraining),
            "num_queries": HEAD_SIZES[size].num_queries,
            "masking": LADDER[rung].inference_masking,
        }
        return cls(rung=rung, size=size, **own | stated)

    def agrees(self, other: Architecture) -> bool:
        """Whether both are the same in everything that both state."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return all(a == b for a, b in pairs if a is not None and b is not None)


@dataclass(frozen=True, kw_only=True)
class TrainingKey:
    """What decides the outcome of a training: nothing of where files lie or how it is shown.

    Attributes:
        weights: digest of the encoder's file, or the pretraining that comes first; None for timm's
            and ``none``.
        data: digest of the training split (``SegmentationDataset.digest``).
        classes: names.
        device: ``cpu`` or ``cuda``.
        recipe: all hyper-parameters, in JSON's form.
        checkpoint: digest of the model that it starts from.
        options: what of the rung is not as the papers build it.
        stopping: what ends it early: patience and what it is validated on; None for nothing.
        method: what a training does (``training.fit.TRAINING_METHOD``).
    """

    rung: str
    size: str
    pretraining: str
    weights: str | None
    dataset: str
    data: str
    classes: Sequence[str]
    image_size: Sequence[int]
    duration: str
    batch_size: int
    num_queries: int
    seed: int
    precision: str
    device: str
    recipe: dict[str, Any]
    task: str = "panoptic"
    checkpoint: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    stopping: dict[str, Any] | None = None
    method: int = 1

    def __post_init__(self) -> None:
        # In the one form that JSON leaves.
        for f in fields(self):
            object.__setattr__(self, f.name, json.loads(json.dumps(getattr(self, f.name))))

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> TrainingKey:
        """From what a record holds; what it lacks becomes None, and is in ``unsaid``."""
        values = {f.name: config.get(f.name, _default(f)) for f in fields(cls)}
        if isinstance(values["options"], Mapping):
            values["options"] = ModelOptions.renamed(values["options"])
        return cls(**values)

    @property
    def unsaid(self) -> tuple[str, ...]:
        """What the record of an older version does not say."""
        optional = ("weights", "checkpoint", "stopping")
        return tuple(
            f.name for f in fields(self) if f.name not in optional and getattr(self, f.name) is None
        )

    def config(self, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
        """In JSON's form, as a record holds it; without what is as in most runs."""
        values = asdict(self)
        usual = {"task": "panoptic", "checkpoint": None, "options": {}, "method": 1}
        usual["stopping"] = None
        left_out = {name for name, value in usual.items() if values[name] == value}
        return {k: v for k, v in values.items() if k not in {*left_out, *without}}

    def differences(self, other: TrainingKey) -> tuple[str, ...]:
        """The names of all in which two trainings differ."""
        pairs = asdict(self), asdict(other)
        return tuple(f.name for f in fields(self) if pairs[0][f.name] != pairs[1][f.name])

    def digest(self, *, without: tuple[str, ...] = ()) -> str:
        """16 hexadecimal digits that tell it from others."""
        return config_hash(self.config(without=without))

    def architecture(self, masking: str) -> Architecture:
        """What was trained, as it is run with attention ``masked`` or ``unmasked``."""
        return Architecture(
            rung=self.rung,
            size=self.size,
            encoder=timm_name(self.size, self.pretraining),
            task=self.task,
            num_classes=None if self.classes is None else len(self.classes),
            num_queries=self.num_queries,
            masking=masking,
            options=ModelOptions(**self.options).of_architecture(),
        )


@dataclass(frozen=True, kw_only=True)
class EvaluationKey:
    """Which training was evaluated, and how.

    Attributes:
        training_id: of its record.
        data: digest of the validation split (``SegmentationDataset.digest``).
        num_images: of it, from the first on.
        masking: at inference.
        method: how it is measured (``evaluation.evaluate.EVALUATION_METHOD``).
        post_processing: how segmentations are made (``inference.tasks.POST_PROCESSING_METHOD``).
    """

    training_id: str
    data: str
    num_images: int
    masking: str
    method: int
    post_processing: int


@dataclass(frozen=True, kw_only=True)
class TimingKey:
    """What was timed, where, and in which way.

    Attributes:
        architecture: of the model.
        image_size: height and width of its input.
        mode, sampler, dtype: how it ran.
        method: what was timed (``evaluation.speed.TIMING_METHOD``).
        machine: which it holds for.
        photo_size: height and width of the image that the way end to end begins with.
        torch, driver: versions.
    """

    architecture: Architecture
    image_size: tuple[int, int]
    mode: str
    sampler: str
    dtype: str
    method: int
    machine: str
    photo_size: tuple[int, int] | None
    torch: str
    driver: str


def _default(f: Any) -> Any:
    if f.default_factory is not MISSING:
        return f.default_factory()
    return None if f.default is MISSING else f.default
