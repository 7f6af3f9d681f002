"""Anyone's own images, with annotations in one of three forms.

``root`` holds the images in ``images/train`` and ``images/val``, and for each split one of:

- ``train.json`` in COCO's panoptic format, with its PNGs in ``masks/train``
- ``train.json`` in COCO's instance format
- ``masks/train`` with a PNG of class numbers for each image, under the image's name, and one
  ``classes.json`` for both splits: a list of ``{"name": "road", "isthing": 0, "id": 7}`` with ids
  from 0 to 254, which are the values of the PNGs; 255 is void. A ``"color": [128, 64, 128]`` is
  what pictures show the class in

Which of COCO's formats a file has is told by its content. Where the parts of a split lie elsewhere,
they are named as ``IMAGES:ANNOTATIONS``, or with a third, what goes with the annotations:

- ``streets/photos:streets/labels.json`` for either of COCO's formats; of the panoptic one the PNGs
  lie in a folder of the file's name, ``streets/labels``, or in the third
- ``streets/photos:streets/pngs`` for PNGs of class numbers; the ``classes.json`` lies in that
  folder or beside it, or is the third

The colon is what separates folders in ``PATH``: on Windows a semicolon.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from eomtlib.core.errors import ConfigurationError, DataError, check_choice
from eomtlib.core.structures import VOID, ClassInfo
from eomtlib.core.words import EXIF, SPLITS
from eomtlib.data.dataset import FileDataset, SegmentationDataset
from eomtlib.data.decoding.archives import FolderStore
from eomtlib.data.decoding.json_lists import JsonLists
from eomtlib.data.decoding.names import split_paths
from eomtlib.data.decoding.problems import Report, refuse
from eomtlib.data.formats.class_files import read_classes
from eomtlib.data.formats.class_masks import MaskFiles
from eomtlib.data.formats.coco_files import InstanceFiles, PanopticFiles
from eomtlib.data.sets.coco import EMPTY_INSTANCES
from eomtlib.data.task_views import as_instances, as_semantic

FORMS = ("panoptic", "instance", "semantic")
"""What annotations can be; from panoptic ones the targets of the other tasks can be made."""

_VOID_VALUE = 255


@dataclass(frozen=True)
class Parts:
    """Where the parts of a split lie.

    Attributes:
        split: its name.
        images: the folder of the images.
        annotations: a JSON file of COCO's, or a folder of PNGs of class numbers.
        maps: the folder of a panoptic file's PNGs.
        classes: the list of the classes of PNGs of class numbers.
    """

    split: str
    images: Path
    annotations: Path
    maps: Path
    classes: Path


def usual_parts(root: Path, split: str) -> Parts:
    """In the layout that this module describes.

    Raises:
        ConfigurationError: for an unknown split.
        DataError: when there are no annotations.
    """
    check_choice("split", split, SPLITS)
    json_file, masks, classes = (
        root / part for part in (f"{split}.json", f"masks/{split}", "classes.json")
    )
    if not json_file.is_file() and not (masks.is_dir() and classes.is_file()):
        raise DataError(
            f"{root}: no annotations for split={split!r}. Expected {split}.json in COCO's panoptic "
            f"or instance format, or the folder masks/{split}/ and classes.json; set data_path to "
            "the folder that holds them."
        )
    annotations = json_file if json_file.is_file() else masks
    return Parts(split, root / "images" / split, annotations, masks, classes)


def named_parts(files: str, split: str) -> Parts:
    """As ``IMAGES:ANNOTATIONS`` or with a third part, as this module describes.

    Raises:
        ConfigurationError: for an unknown split, or a text of another form.
        DataError: when there are no annotations.
    """
    check_choice("split", split, SPLITS)
    named = map(Path, split_paths(f"{split}_data", files))
    images, annotations, third = (*(path.expanduser() for path in named), None)[:3]
    if annotations.is_dir():
        tried = (annotations / "classes.json", annotations.parent / "classes.json")
        classes = third or next((path for path in tried if path.is_file()), tried[0])
        if not classes.is_file():
            raise DataError(
                f"{classes}: missing; list there the classes of the PNGs, or name the list after "
                f"them: {split}_data=IMAGES{os.pathsep}PNGS{os.pathsep}FILE."
            )
        return Parts(split, images, annotations, annotations, classes)
    if not annotations.is_file():
        raise DataError(
            f"{annotations}: no such file or folder; {split}_data names a JSON file of COCO's "
            "formats there, or a folder of PNGs of class numbers."
        )
    return Parts(split, images, annotations, third or annotations.with_suffix(""), annotations)


def custom_parts(root: Path | None, split: str, files: str = "") -> Parts:
    """The parts that ``files`` names, else those in ``root``; errors as of both."""
    return named_parts(files, split) if files else usual_parts(root, split)


def custom_form(parts: Parts) -> str:
    """Of ``FORMS``, what the annotations of a split are.

    Raises:
        DataError: when the JSON file is of neither format.
    """
    path = parts.annotations
    if path.is_dir():
        return "semantic"
    return _json_form(FolderStore(path.parent).read(path.name), str(path))


def open_custom(
    root: str | Path | None,
    split: str,
    *,
    task: str = "panoptic",
    files: str = "",
    exif: str = "apply",
    report: Report = refuse,
) -> FileDataset:
    """Opens a split in the layout that this module describes.

    Args:
        root: the folder.
        split: ``train`` or ``val``.
        task: what it is opened for.
        files: the parts of the split, where they do not lie in ``root``, as ``IMAGES:ANNOTATIONS``.
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
    check_choice("exif", exif, EXIF)
    parts = custom_parts(None if root is None else Path(root).expanduser(), split, files)
    form = custom_form(parts)
    if form not in ("panoptic", task):
        where = parts.annotations if files else root
        raise ConfigurationError(
            f"task={task!r} cannot be had from the {form} annotations of {where}; set "
            f"task={form!r}, or give panoptic annotations, of which every task can be made."
        )
    for folder, what in ((parts.images, "images"), (parts.maps, "masks")):
        if not folder.is_dir() and (form == "panoptic" or what == "images"):
            raise DataError(f"{folder}: no such folder; put the {what} of {split!r} in it.")
    dataset = (_open_masks if form == "semantic" else _open_json)(parts, form, report)
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


def _open_json(parts: Parts, form: str, report: Report) -> FileDataset:
    path = parts.annotations
    images, text = FolderStore(parts.images), FolderStore(path.parent).read(path.name)
    named = {"json_name": str(path), "report": report}
    if form == "instance":
        return InstanceFiles(images, text, on_empty=EMPTY_INSTANCES[parts.split], **named)
    return PanopticFiles(images, text, FolderStore(parts.maps), **named)


def _open_masks(parts: Parts, form: str, report: Report) -> FileDataset:
    classes = _read_classes(parts.classes, report)
    values = {info.category_id: index for index, info in enumerate(classes)}
    return MaskFiles(
        FolderStore(parts.images),
        FolderStore(parts.annotations),
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
