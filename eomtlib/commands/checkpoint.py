"""What verbs that take a finished checkpoint have in common: its options, and opening it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import ClassInfo
from eomtlib.core.words import TASKS
from eomtlib.models.checkpoints import ModelConfig, load_model
from eomtlib.models.parts.segmentation_model import SegmentationModel
from eomtlib.study.naming import find_checkpoint
from eomtlib.study.parameters.parsing import parse_image_size


def find_model(chosen: argparse.Namespace) -> None:
    """Puts a path in the place of a run's name; see ``study.naming.find_checkpoint``."""
    chosen.checkpoint = str(find_checkpoint(chosen.checkpoint, chosen.results_dir))


def task_of(chosen: argparse.Namespace, config: ModelConfig) -> str:
    """The task that was asked for, or that the model was trained for.

    Raises:
        ConfigurationError: when neither the options nor the checkpoint say.
    """
    if not (chosen.task or config.task):
        raise ConfigurationError(
            f"task is not set, and {chosen.checkpoint} does not say what it was trained for; set "
            f"it to one of {', '.join(TASKS)}."
        )
    return chosen.task or config.task


def open_checkpoint(
    chosen: argparse.Namespace, *, classes: Sequence[ClassInfo] | None = None
) -> tuple[SegmentationModel, ModelConfig]:
    """The model that was named, on the CPU, and what it is.

    Args:
        chosen: with the options of ``add_checkpoint``.
        classes: of the data that it runs on, which it must have been trained for.
    """
    return load_model(
        chosen.checkpoint,
        classes=classes,
        image_size=parse_image_size(chosen.image_size) if chosen.image_size else None,
        weights=chosen.weights or None,
    )
