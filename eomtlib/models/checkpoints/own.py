"""Our own checkpoints of finished models: a folder of ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from eomtlib.core.errors import CheckpointError
from eomtlib.core.files.atomic_files import new_folder, write_file
from eomtlib.core.structures import ClassInfo, rgb
from eomtlib.models.checkpoints.fields import Fields
from eomtlib.models.options import ModelOptions

FORMAT = "eomtlib/1"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
MODEL = "model"
"""The folder of a finished run's model, in the run's."""

UNFINISHED = "unfinished.json"
STATES = ("resume.ckpt", "resume.before.ckpt")
"""What a training that has not ended leaves in its folder: what its model is, and its last states,
the newest first."""


@dataclass(frozen=True)
class ModelConfig:
    """All that ``build_model`` needs to make the same architecture again, and its classes.

    Attributes:
        rung, size, pretraining, num_queries: as ``build_model`` takes them.
        image_size: height and width.
        class_names: in the order of the class head; ``unnamed_classes`` where they are not known.
        is_thing: for each class; None where the checkpoint does not say.
        task: what it was trained for; None where the checkpoint does not say.
        class_colors: for each class as ``dc143c``, empty where nobody says; None where nobody does.
        masking, query_blocks, freeze, lateral_connections, taps: as in ``ModelOptions``.
    """

    rung: str
    size: str
    pretraining: str
    image_size: tuple[int, int]
    num_queries: int
    masking: str
    class_names: tuple[str, ...]
    is_thing: tuple[bool, ...] | None
    query_blocks: int | None = None
    freeze: str | None = None
    lateral_connections: bool | None = None
    taps: tuple[int, ...] | None = None
    task: str | None = None
    class_colors: tuple[str, ...] | None = None

    @property
    def options(self) -> ModelOptions:
        """What of the rung is not as the papers build it, and its masking."""
        return ModelOptions(**{f.name: getattr(self, f.name) for f in fields(ModelOptions)})

    def classes(self, is_thing: Iterable[bool]) -> tuple[ClassInfo, ...]:
        """The classes, numbered from 0; which are things says who knows."""
        colors = self.class_colors or ("",) * len(self.class_names)
        return tuple(
            ClassInfo(name, thing, number, rgb(color) if color else None)
            for number, (name, thing, color) in enumerate(
                zip(self.class_names, is_thing, colors, strict=True)
            )
        )


def written_colors(classes: Sequence[ClassInfo]) -> tuple[str, ...] | None:
    """The ``class_colors`` of a model of these classes."""
    colors = tuple(bytes(info.color or ()).hex() for info in classes)
    return colors if any(colors) else None


def unnamed_classes(count: int) -> tuple[str, ...]:
    """What stands for names that a checkpoint does not hold."""
    return tuple(f"class {i}" for i in range(count))


def save_model(folder: Path, model: nn.Module, config: ModelConfig) -> None:
    """Writes the folder whole or not at all; an older one of that name is replaced."""
    state = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    with new_folder(folder, replace=True) as inside:
        save_file(state, inside / WEIGHTS)
        text = json.dumps({"format": FORMAT, **asdict(config)}, indent=1)
        (inside / CONFIG).write_text(text + "\n")


def save_unfinished(folder: Path, config: ModelConfig, *, averaged: bool) -> None:
    """Says beside the states of a training what model they hold.

    Args:
        folder: of the run.
        config: of its model.
        averaged: whether the average of its weights is what will be kept.
    """
    text = json.dumps({"format": FORMAT, "averaged": averaged, **asdict(config)}, indent=1)
    write_file(folder / UNFINISHED, text + "\n")


def read_config(written: Fields) -> ModelConfig:
    """The configuration of a saved model, from the fields of its ``config.json``.

    Raises:
        CheckpointError: when a field is missing or of another type, or is no colour.
    """
    values: dict[str, Any] = {}
    for field in fields(ModelConfig):
        # Annotations are texts in this module, by its first import.
        kind, optional, _ = field.type.partition(" | None")
        default = {"default": None} if optional else {}
        values[field.name] = written.read(field.name, kind, **default)
    is_frozen = written.read("frozen_encoder", "bool", default=None)  # of earlier versions
    if is_frozen is not None:
        values["freeze"] = ModelOptions.renamed({"frozen_encoder": is_frozen})["freeze"]
    for color in values["class_colors"] or ():
        if not re.fullmatch("([0-9a-f]{6})?", color):
            raise CheckpointError(
                f"{written.path}: class_colors holds {color!r}, but must hold texts like 'dc143c'."
            )
    if "task" not in written.values:
        values["task"] = "panoptic"  # what a file is of that does not name its task
    return ModelConfig(**values)
