"""The data sets by name and task. A new one is a new entry: a function that opens its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.words import ON_BAD, SPLITS, TASKS
from eomtlib.data.dataset import FileDataset, SegmentationDataset
from eomtlib.data.decoding.problems import Report, refuse, skip
from eomtlib.data.feed.in_memory import InMemory
from eomtlib.data.sets import ade20k, cityscapes
from eomtlib.data.sets.coco import DOWNLOAD as COCO_DOWNLOAD
from eomtlib.data.sets.coco import INSTANCES_ZIP, PANOPTIC_ZIP, CocoInstances, CocoPanoptic
from eomtlib.data.sets.custom import custom_view, open_custom
from eomtlib.data.sets.shapes import Shapes
from eomtlib.data.skipping import leave_out_bad
from eomtlib.data.task_views import as_instances, as_semantic

_IN_MEMORY_BYTES = 512 << 20
_BYTES_PER_PIXEL = 5  # three of colour, two of segment index


@dataclass(frozen=True)
class Source:
    """Where the targets of a task come from.

    Attributes:
        open: opens the files: root, split and ``report``, and for a generated set its options.
        view: makes the task's targets of what the files hold.
        needs: what has to lie in ``data_path``, for the error where it is not set; empty where
            nothing has to.
        generated: whether the set is written on first use; if it is small it is kept in memory.
    """

    open: Callable[..., FileDataset]
    view: Callable[[FileDataset], SegmentationDataset] = field(default=lambda dataset: dataset)
    needs: str = ""
    generated: bool = False


def open_dataset(
    name: str,
    split: str,
    *,
    task: str = "panoptic",
    data_path: str | Path | None = None,
    files: str = "",
    image_size: int | tuple[int, int] | None = None,
    train_images: int = 2000,
    val_images: int = 200,
    exif: str = "apply",
    on_bad: str = "refuse",
) -> SegmentationDataset:
    """Opens a split of a data set.

    Args:
        name: a key of ``DATASETS``.
        split: ``train`` or ``val``.
        task: a key of that entry: what the targets are.
        data_path: the folder that holds the files; for ``shapes``, where generated sets are kept.
        files: of ``custom``, images and annotations that do not lie in ``data_path``
            (``sets.custom.named_parts``).
        image_size: of the images that ``shapes`` generates; None for 64.
        train_images: how many ``shapes`` generates for training.
        val_images: how many ``shapes`` generates for evaluation.
        exif: of one's own data, ``apply`` or ``ignore`` (``sets.custom.open_custom``).
        on_bad: ``refuse`` to open a data set of which anything is wrong, or ``skip`` the images
            that it is wrong with.

    Raises:
        ConfigurationError: for an unknown name, task or split, or a missing ``data_path``.
        DataError: when the files cannot be used.
    """
    check_choice("on_bad", on_bad, ON_BAD)
    opened = open_files(
        name,
        split,
        task=task,
        data_path=data_path,
        files=files,
        report=skip if on_bad == "skip" else refuse,
        exif=exif,
        image_size=image_size or 64,
        train_images=train_images,
        val_images=val_images,
    )
    source = DATASETS[name][task]
    if on_bad == "skip" and not source.generated:
        leave_out_bad(opened, where=files or str(data_path))
    dataset = source.view(opened)
    pixels = int(np.prod(opened.sizes.astype(np.int64), axis=1).sum())
    small = pixels * _BYTES_PER_PIXEL <= _IN_MEMORY_BYTES
    return InMemory(dataset) if source.generated and small else dataset


def open_files(
    name: str,
    split: str,
    *,
    task: str = "panoptic",
    data_path: str | Path | None = None,
    files: str = "",
    report: Report = refuse,
    exif: str = "apply",
    **generated: Any,
) -> FileDataset:
    """Opens the files of a data set, as they are: before anything is made of them for a task.

    Args:
        name: a key of ``DATASETS``.
        split: ``train`` or ``val``.
        task: a key of that entry.
        data_path: the folder that holds the files.
        files: as in ``open_dataset``.
        report: is given what is found to be wrong with the files before any is read.
        exif: as in ``open_dataset``.
        **generated: options of ``shapes``; ignored for any other data set.

    Raises:
        ConfigurationError: for an unknown name, task or split, or a missing ``data_path``.
        DataError: when the files cannot be used.
    """
    check_choice("dataset", name, DATASETS)
    check_choice("split", split, SPLITS)
    check_choice("task", task, TASKS)
    if task not in DATASETS[name]:
        raise ConfigurationError(
            f"task={task!r} is not one of dataset={name!r}, which has: {', '.join(DATASETS[name])}."
        )
    source = DATASETS[name][task]
    if files and name != "custom":
        raise ConfigurationError(
            f"{split}_data={files!r} is for dataset='custom', and dataset={name!r} lies in one "
            "folder; set data_path to it."
        )
    if source.needs and data_path is None and not files:
        raise ConfigurationError(
            f"data_path is not set, and dataset={name!r} needs it for task={task!r}: "
            f"{source.needs}, and set data_path to it."
            + (" Or name both parts by train_data and val_data." if name == "custom" else "")
        )
    options = generated if source.generated else {}
    if name == "custom":
        options = {"exif": exif, "files": files}
    return source.open(data_path, split, report=report, **options)


def _downloads(*files: str, page: str) -> str:
    return f"download {', '.join(files)} from {page} into one folder (no need to unzip)"


_COCO_IMAGES = ("train2017.zip", "val2017.zip")
_COCO_PANOPTIC = _downloads(*_COCO_IMAGES, PANOPTIC_ZIP, page=COCO_DOWNLOAD)
_ADE20K_TAR = f"{ade20k.INSTANCES}.tar (of the instance task)"
_CITYSCAPES = _downloads(cityscapes.IMAGES_ZIP, cityscapes.LABELS_ZIP, page=cityscapes.DOWNLOAD)
_CUSTOM = (
    "put images in images/train and images/val of one folder, with train.json and val.json in "
    "COCO's panoptic (PNGs in masks/train and masks/val) or instance format, or with PNGs of class "
    "numbers in masks/train and masks/val and a classes.json"
)

DATASETS: dict[str, dict[str, Source]] = {
    "shapes": {
        "panoptic": Source(Shapes, generated=True),
        "instance": Source(Shapes, as_instances, generated=True),
        "semantic": Source(Shapes, as_semantic, generated=True),
    },
    "coco": {
        "panoptic": Source(CocoPanoptic, needs=_COCO_PANOPTIC),
        "instance": Source(
            CocoInstances,
            needs=_downloads(*_COCO_IMAGES, INSTANCES_ZIP, page=COCO_DOWNLOAD),
        ),
        "semantic": Source(CocoPanoptic, as_semantic, needs=_COCO_PANOPTIC),
    },
    "ade20k": {
        "panoptic": Source(
            ade20k.open_ade20k_panoptic,
            needs=_downloads(f"{ade20k.HOME}.zip", _ADE20K_TAR, page=ade20k.DOWNLOAD),
        ),
        "instance": Source(
            ade20k.Ade20kInstances,
            needs=_downloads(f"{ade20k.HOME}.zip", _ADE20K_TAR, page=ade20k.DOWNLOAD),
        ),
        "semantic": Source(
            ade20k.Ade20kSemantic,
            needs=_downloads(f"{ade20k.HOME}.zip", page=ade20k.DOWNLOAD),
        ),
    },
    "cityscapes": {
        "semantic": Source(cityscapes.CityscapesSemantic, needs=_CITYSCAPES),
        "panoptic": Source(cityscapes.CityscapesPanoptic, needs=_CITYSCAPES),
        "instance": Source(cityscapes.CityscapesPanoptic, as_instances, needs=_CITYSCAPES),
    },
    "custom": {
        task: Source(partial(open_custom, task=task), partial(custom_view, task=task), _CUSTOM)
        for task in TASKS
    },
}
"""Data set → task → where it comes from."""
