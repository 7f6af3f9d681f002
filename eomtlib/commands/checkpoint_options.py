"""What verbs that take a finished checkpoint have in common: its options, and opening it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import ClassInfo
from eomtlib.core.words import PRECISIONS, TASKS
from eomtlib.models.checkpoints import ModelConfig, load_model
from eomtlib.models.parts.segmentation_model import SegmentationModel
from eomtlib.study.parameters import parse_image_size


def add_checkpoint(parser: argparse.ArgumentParser, *, runs_task: bool = True) -> None:
    """Adds the options that say which model runs, and how; also for which task, if it runs one."""
    parser.add_argument(
        "--checkpoint", required=True, help="ours, the authors' or Hugging Face's: file or folder"
    )
    parser.add_argument("--weights", default="", help="of the encoder, where the file lacks it")
    parser.add_argument("--image-size", default="", help="640, or 480x640 for height x width")
    if runs_task:
        parser.add_argument(
            "--task", default="", help=f"of {', '.join(TASKS)}; what it was trained for by default"
        )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", help=f"of {', '.join(PRECISIONS)}")


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
