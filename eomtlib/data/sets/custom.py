"""Anyone's own images, with annotations in one of three forms.

``root`` holds the images in ``images/train`` and ``images/val``, and for each split one of:

- ``train.json`` in COCO's panoptic format, with its PNGs in ``masks/train``
- ``train.json`` in COCO's instance format
- ``masks/train`` with a PNG of class numbers for each image, under the image's name, and one
  ``classes.json`` for both splits: a list of ``{"name": "road", "isthing": 0, "id": 7}`` with ids
  from 0 to 254, which are the values of the PNGs; 255 is void

Which of COCO's formats a file has is told by its content.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from eomtlib.core.errors import ConfigurationError, DataError, check_choice
from eomtlib.core.structures import VOID, ClassInfo
from eomtlib.core.words import EXIF
from eomtlib.data.dataset import SPLITS, FileDataset, SegmentationDataset
from eomtlib.data.decoding.archives import FolderStore
from eomtlib.data.decoding.json_lists import JsonLists
from eomtlib.data.decoding.problems import Report, refuse
from eomtlib.data.formats.class_files import read_classes
from eomtlib.data.formats.class_masks import MaskFiles
from eomtlib.data.formats.coco_files import InstanceFiles, PanopticFiles
from eomtlib.data.sets.coco import EMPTY_INSTANCES
from eomtlib.data.task_views import as_instances, as_semantic

FORMS = ("panoptic", "instance", "semantic")
"""What annotations can be; from panoptic ones the targets of the other tasks can be made."""

_VOID_VALUE = 255


def custom_form(root: Path, split: str) -> str:
    """Of ``FORMS``, what the annotations of a split are.

    Raises:
        ConfigurationError: for an unknown split.
        DataError: when there are none, or the JSON file is of neither format.
    """
    check_choice("split", split, SPLITS)
    if (root / f"{split}.json").is_file():
        return _json_form(FolderStore(root).read(f"{split}.json"), str(root / f"{split}.json"))
    if (root / "masks" / split).is_dir() and (root / "classes.json").is_file():
        return "semantic"
    raise DataError(
        f"{root}: no annotations for split={split!r}. Expected {split}.json in COCO's panoptic or "
        f"instance format, or the folder masks/{split}/ and classes.json; set data_path to the "
        "folder that holds them."
    )


def open_custom(
    root: str | Path,
    split: str,
    *,
    task: str = "panoptic",
    exif: str = "apply",
    report: Report = refuse,
) -> FileDataset:
    """Opens a split in the layout that this module describes.

    Args:
        root: the folder.
        split: ``train`` or ``val``.
        task: what it is opened for.
        exif: ``apply`` turns images as their EXIF data say, which is how they were annotated;
            ``ignore`` leaves them as stored.
        report: is given what is found to be wrong before anything is read.

    Returns:
        The annotations as they are: panoptic ones whatever the task.

    Raises:
        ConfigurationError: for an unknown split, or when no targets of the task can be made of the
            annotations.
        DataError: when a part is missing or cannot be used.
    """
    root = Path(root).expanduser()
    check_choice("exif", exif, EXIF)
    form = custom_form(root, split)
    if form not in ("panoptic", task):
        raise ConfigurationError(
            f"task={task!r} cannot be had from the {form} annotations of {root}; set "
            f"task={form!r}, or give panoptic annotations, of which every task can be made."
        )
    images, masks = (root / part / split for part in ("images", "masks"))
    for folder in (images, masks) if form != "instance" else (images,):
        if not folder.is_dir():
            raise DataError(
                f"{folder}: no such folder; put the {folder.parent.name} of {split!r} in it."
            )
    if form == "semantic":
        dataset = _open_masks(root, images, masks, report)
    else:
        dataset = _open_json(root, split, form, report)
    dataset.upright = exif == "apply"
    return dataset


def custom_view(dataset: FileDataset, task: str) -> SegmentationDataset:
    """A task's targets, from what ``open_custom`` returns for it."""
    views = {"semantic": as_semantic, "instance": as_instances}
    panoptic = isinstance(dataset, PanopticFiles)
    return views[task](dataset) if panoptic and task in views else dataset


def _json_form(content: bytes, where: str) -> str:
    lists = JsonLists(content, where)
    for text in lists.entries("annotations"):
        with suppress(ValueError):
            entry = msgspec.json.decode(text)
            for key, form in (("segments_info", "panoptic"), ("segmentation", "instance")):
                if isinstance(entry, dict) and key in entry:
                    return form
    raise DataError(
        f"{where}: its annotations have neither 'segments_info', as in COCO's panoptic format, nor "
        "'segmentation', as in its instance format (https://cocodataset.org/#format-data)."
    )


def _open_json(root: Path, split: str, form: str, report: Report) -> FileDataset:
    images, masks = (FolderStore(root / part / split) for part in ("images", "masks"))
    text = FolderStore(root).read(f"{split}.json")
    named = {"json_name": str(root / f"{split}.json"), "report": report}
    if form == "instance":
        return InstanceFiles(images, text, on_empty=EMPTY_INSTANCES[split], **named)
    return PanopticFiles(images, text, masks, **named)


def _open_masks(root: Path, images: Path, masks: Path, report: Report) -> FileDataset:
    classes = _read_classes(root / "classes.json", report)
    values = {info.category_id: index for index, info in enumerate(classes)}
    return MaskFiles(
        FolderStore(images),
        FolderStore(masks),
        classes=classes,
        values=values | {_VOID_VALUE: VOID},
        report=report,
    )


def _read_classes(path: Path, report: Report) -> tuple[ClassInfo, ...]:
    """The classes of ``classes.json``, whose ids must be values of a PNG's pixels."""
    classes = read_classes(path, report)
    numbers = np.array([info.category_id for info in classes])
    if not len(numbers) or not 0 <= numbers.min() <= numbers.max() < _VOID_VALUE:
        raise DataError(f"{path}: ids must lie in 0 to {_VOID_VALUE - 1}, and there must be some.")
    return classes
