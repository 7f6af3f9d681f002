"""What to type next, filled in, as the last lines of verbs that leave a model."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eomtlib.data.dataset import FileDataset, SegmentationDataset
from eomtlib.data.feed.in_memory import InMemory
from eomtlib.data.task_views import TaskView
from eomtlib.study.parameters.parsing import resolve_results_dir
from eomtlib.study.parameters.settings import PARAMETERS

_OF_MODEL = ("weights", "image_size", "task", "device", "precision")
OF_DATA = ("dataset", "data_path", "train_data", "val_data", "exif", "on_bad")


def next_commands(
    checkpoint: str,
    given: Mapping[str, Any],
    *,
    evaluated: SegmentationDataset,
    split: str,
    num_images: int,
) -> str:
    """Lines to copy: the evaluation of the other split, and the segmentation of images.

    Args:
        checkpoint: as ``--checkpoint`` takes it.
        given: options by name; those that are at their default are left out.
        evaluated: the images whose folder is segmented, where they lie in one.
        split: that they are.
        num_images: of them, and of the other split.
    """
    named = ["--checkpoint", checkpoint]
    results_dir = resolve_results_dir(given["results_dir"])
    if results_dir != resolve_results_dir(PARAMETERS["results_dir"].default):
        named += ["--results-dir", str(results_dir)]
    named += _options(given, _OF_MODEL)
    other = ["--split", "val" if split == "train" else "train", "--val-images", str(num_images)]
    images = ["--images", _folder(evaluated), "--output", "segmented"]
    commands = ["evaluate", *named, *_options(given, OF_DATA), *other], ["predict", *named, *images]
    lines = [shlex.join(["eomtlib", *command]) for command in commands]
    if split == "val":
        why = "the same on training images (as bad there: train longer; far better: more data)"
    else:
        why = "the same on validation images"
    return f"\nNext, {why}:\n  {lines[0]}\nand your images, or these, segmented:\n  {lines[1]}"


def _options(given: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    chosen = []
    for name in names:
        default = PARAMETERS[name].default if name in PARAMETERS else ""
        if given.get(name) not in (None, "", default):
            chosen += [f"--{name.replace('_', '-')}", str(given[name])]
    return chosen


def _folder(images: SegmentationDataset) -> str:
    while isinstance(images, TaskView | InMemory):
        images = images.dataset
    # Not of what is in an archive.
    folder = Path(images.image_of(0)).parent if isinstance(images, FileDataset) else Path()
    return str(folder) if folder.is_dir() and folder != Path() else "FOLDER"
