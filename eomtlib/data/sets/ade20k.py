"""ADE20K of the scene parsing benchmark (Zhou et al., CVPR 2017), for every task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from eomtlib.core.errors import check_choice
from eomtlib.core.structures import VOID, ClassInfo, SegmentMap
from eomtlib.core.words import SPLITS
from eomtlib.data.dataset import FileDataset, name_checksums
from eomtlib.data.decoding.archives import Store
from eomtlib.data.decoding.places import Place, open_part
from eomtlib.data.decoding.problems import FileError, Report, refuse
from eomtlib.data.formats.class_masks import MaskFiles, by_class
from eomtlib.data.formats.coco_files import PanopticFiles
from eomtlib.data.sets.ade20k_classes import CLASSES, THING_NUMBERS, THINGS

DOWNLOAD = "http://sceneparsing.csail.mit.edu/"
HOME = "ADEChallengeData2016"
INSTANCES = "annotations_instance"
_FOLDERS = {"train": "training", "val": "validation"}


class Ade20kSemantic(MaskFiles):
    """One split with its 150 classes, things and stuff alike.

    Accepted in ``root``: the folder ``ADEChallengeData2016`` or what is in it, or
    ``ADEChallengeData2016.zip``; in it ``images/training/*.jpg`` and
    ``annotations/training/*.png``.

    Args:
        root: the folder.
        split: ``train`` or ``val``.
        report: as of ``MaskFiles``.

    Raises:
        ConfigurationError: for an unknown split.
        DataError: when a part is missing.
    """

    _part: ClassVar[str] = "annotations"
    _classes: ClassVar[tuple[ClassInfo, ...]] = CLASSES

    def __init__(self, root: str | Path, split: str, *, report: Report = refuse) -> None:
        self.root, self.split = Path(root).expanduser(), check_choice("split", split, SPLITS)
        super().__init__(
            _open(self.root, "images", split),
            _open(self.root, self._part, split),
            classes=self._classes,
            values={0: VOID} | {info.category_id: i for i, info in enumerate(self._classes)},
            report=report,
        )


class Ade20kPanoptic(Ade20kSemantic):
    """One split with its 50 classes of stuff, and instances of its 100 classes of things.

    Stuff is what the semantic PNG says, except where an instance lies over it. Pixels that are a
    thing there and no instance are void. Segments are those that show: stuff in the order of the
    classes, then instances in that of their numbers.

    In addition to what ``Ade20kSemantic`` reads: ``annotations_instance/training/*.png``, beside or
    in ``ADEChallengeData2016``, or ``annotations_instance.tar`` or ``.zip``. Their red channel is
    the instance category, 1 to 100, and the green one the instance's number, 0 for none.

    Args:
        root: the folder.
        split: ``train`` or ``val``.
        report: as of ``MaskFiles``.

    Raises:
        ConfigurationError: for an unknown split.
        DataError: when a part is missing.
    """

    def __init__(self, root: str | Path, split: str, *, report: Report = refuse) -> None:
        super().__init__(root, split, report=report)
        self._instances = _open(self.root, INSTANCES, split)
        for name in sorted(set(self._mask_names.tolist())):
            if name.decode() not in self._instances:
                where = self._instances.where(name.decode())
                report(FileError("missing mask", where, "missing; fetch it again."))

    def checksums(self) -> Iterable[tuple[str, int]]:
        """Of both kinds of PNGs."""
        return [*super().checksums(), *name_checksums(self._instances, self._mask_names)]

    def read_segments(self, index: int) -> SegmentMap:
        """The segments ``[1, H, W]``."""
        classes = self.read_classes(index)
        coded = self.read_values(self._instances, index, modes=("RGB",))
        # Positions of stuff are class indices, those of instances follow.
        count = len(CLASSES)
        is_stuff = np.array([not info.is_thing for info in CLASSES] + [False])
        drawn = np.where(is_stuff[classes], classes, VOID)
        covered = coded[..., 1] > 0
        drawn[covered] = coded[covered, 1].astype(np.int16) + count
        segments = by_class(drawn, count + 256)
        where = self._instances.where(self._mask_names[index].decode())
        category = _categories(coded[covered], where)
        index_of = np.array([VOID, *THING_NUMBERS]) - 1
        class_of = np.concatenate((np.arange(count), index_of[np.maximum(category, 0)]))
        return replace(segments, labels=torch.from_numpy(class_of)[segments.labels])


class Ade20kInstances(Ade20kSemantic):
    """One split with the instances of its 100 classes of things, numbered as their PNGs have it.

    Of what ``Ade20kPanoptic`` reads, the images and ``annotations_instance``. Segments are in the
    order of the instances' numbers.
    """

    _part, _classes = INSTANCES, THINGS

    def read_segments(self, index: int) -> SegmentMap:
        """The segments ``[1, H, W]``."""
        coded = self.read_values(self._masks, index, modes=("RGB",))
        numbers = coded[..., 1].astype(np.int16)
        categories = _categories(coded[numbers > 0], self.annotation_of(index))
        segments = by_class(np.where(numbers > 0, numbers, VOID), 256)
        return replace(segments, labels=torch.from_numpy(categories)[segments.labels] - 1)


def _categories(coded: np.ndarray, where: str) -> np.ndarray:
    """The category, 1 to 100, of each instance number, ``[256]``, from ``[N, 3]`` colours.

    Raises:
        FileError: for an instance of no category, or of two; names the file, ``where``.
    """
    pairs = np.unique(coded[:, 1].astype(np.int64) * 256 + coded[:, 0])
    found = np.full(256, VOID)
    for number, category in zip((pairs // 256).tolist(), (pairs % 256).tolist(), strict=True):
        if not 1 <= category <= len(THING_NUMBERS):
            what = f"instance {number} is of category {category}; there are 1 to 100."
            raise FileError("unknown class", where, what)
        if found[number] != VOID:
            what = f"instance {number} is of two categories; fetch the file again."
            raise FileError("duplicate id", where, what)
        found[number] = category
    return found


def open_ade20k_panoptic(root: str | Path, split: str, *, report: Report = refuse) -> FileDataset:
    """ADE20K panoptic as ``root`` has it: in COCO's format where it is there, else as published.

    COCO's format is what the usual conversion writes: ``ade20k_panoptic_train.json`` and the folder
    ``ade20k_panoptic_train`` of PNGs, in ``ADEChallengeData2016``.

    Raises:
        ConfigurationError: for an unknown split.
        DataError: when a part is missing.
    """
    root, name = Path(root).expanduser(), f"ade20k_panoptic_{check_choice('split', split, SPLITS)}"
    for home in (root / HOME, root):
        path = home / f"{name}.json"
        if path.is_file():
            maps = open_part(home, "panoptic PNGs", (Place(name),), download=DOWNLOAD)
            images = _open(root, "images", split)
            text = path.read_bytes()
            return PanopticFiles(images, text, maps, json_name=str(path), report=report)
    return Ade20kPanoptic(root, split, report=report)


def _open(root: Path, part: str, split: str) -> Store:
    """The files of ``images``, ``annotations`` or ``annotations_instance``."""
    below = f"{part}/{_FOLDERS[split]}"
    places = [Place(f"{HOME}/{below}"), Place(below), Place(f"{HOME}.zip", f"{HOME}/{below}")]
    if part == INSTANCES:
        places += [Place(f"{part}.tar", below), Place(f"{part}.zip", below)]
    return open_part(root, f"{part} for split={split!r}", places, download=DOWNLOAD)
