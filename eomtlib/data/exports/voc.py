"""Pascal VOC's masks (Everingham et al., IJCV 2015), and what CVAT and Datumaro call by that name.

``JPEGImages``; PNGs of classes in ``SegmentationClass``, of objects in ``SegmentationObject``; the
names of each split in ``ImageSets/Segmentation/train.txt``. A ``labelmap.txt`` with lines such as
``car:128,0,0::`` says which colour a class has, that of VOC at its place where it says none;
without one the numbers are those of VOC. Where there is one, an image without PNGs is background:
these tools write none for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from eomtlib.core.errors import DataError
from eomtlib.core.structures import ClassInfo
from eomtlib.data.decoding.image_files import SUFFIXES, open_image
from eomtlib.data.decoding.problems import FileError
from eomtlib.data.exports.drawn import Export, Painted, Photo, Source

_NAMES = """
background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike
person pottedplant sheep sofa train tvmonitor
"""
_BACKGROUND = "background"
_VOID = 255
_BORDER = (224, 224, 192)
"""The colour of void, around objects and where nobody could tell."""

_LISTS = "ImageSets/Segmentation"
_CLASSES, _OBJECTS = "SegmentationClass", "SegmentationObject"


def is_voc(root: Path) -> bool:
    """Whether a folder is such a data set, or holds one as VOC's archives unpack."""
    return _home(root) is not None


def open_voc(source: Source) -> Export:
    """Reads the lists; PNGs when they are asked for.

    With PNGs of objects it is panoptic: objects of all classes but the background, which is stuff.
    Without, it is semantic.

    Raises:
        DataError: when a part is missing.
    """
    home = _home(source.root)
    if home is None:
        raise DataError(f"{source.root}: has no folder {_CLASSES}; put the PNGs of classes there.")
    found = {name: home / _LISTS / f"{name}.txt" for name in ("train", "val", "test")}
    splits = {name: _listed(source, path) for name, path in found.items() if path.is_file()}
    if not splits and (home / _LISTS).is_dir():
        others = sorted((home / _LISTS).glob("*.txt"))
        names = [name for path in others for name in _listed(source, path)]
        splits = {"train": list(dict.fromkeys(names))} if others else {}
    if not splits:
        raise DataError(f"{home}: no {_LISTS}/train.txt; list there the names of the images.")
    masks = _Masks(source, home)
    return Export(
        form="panoptic" if masks.has_objects else "semantic",
        classes=masks.classes,
        splits={
            split: partial(_photos, source, home, names, masks, is_test=split == "test")
            for split, names in splits.items()
        },
    )


def _home(root: Path) -> Path | None:
    places = (root, *sorted(root.glob("VOC*")), *sorted(root.glob("VOCdevkit/VOC*")))
    return next((place for place in places if (place / _CLASSES).is_dir()), None)


def _listed(source: Source, path: Path) -> list[str]:
    names = [line.strip().strip('"') for line in source.lines(path) if line.strip()]
    for name in names:
        source.below(name, path)
    return names


def _photos(
    source: Source, home: Path, names: list[str], masks: _Masks, *, is_test: bool
) -> Iterator[Photo]:
    annotated = [(home / _CLASSES / f"{name}.png").is_file() for name in names]
    is_annotated = not is_test or any(annotated)
    for name in names:
        tried = [home / "JPEGImages" / f"{name}{end}" for end in SUFFIXES]
        image = next((path for path in tried if path.is_file()), None)
        if image is None:
            what = f"missing, and a list in {_LISTS} names it; put it there, or cut the list."
            source.report(FileError("missing image", str(tried[0]), what))
            continue
        size = source.size_of(image, where=str(image))
        if not size:
            continue
        own = f"{name}{image.suffix}"
        if not is_annotated:
            yield Photo(image=image, name=own, size=size, is_annotated=False)
            continue
        try:
            yield Photo(image=image, name=own, size=size, painted=masks.read(name, size))
        except FileError as error:
            source.report(error)


class _Masks:
    """The PNGs, whose colours or numbers stand for classes.

    Attributes:
        classes: in the order of ``labelmap.txt``, or VOC's.
        has_objects: whether there are PNGs of objects.
    """

    def __init__(self, source: Source, home: Path) -> None:
        self._home = home
        self.has_objects = any(True for _ in (home / _OBJECTS).glob("**/*.png"))
        tried = (home / "labelmap.txt", source.root / "labelmap.txt")
        path = next((path for path in tried if path.is_file()), None)
        if path is None:
            names = _NAMES.split()
            self._number_of = {_packed(colour): k for k, colour in enumerate(_colours(len(names)))}
        else:
            listed = _labelmap(source, path)
            names = list(listed)
            self._number_of = {_packed(colour): k for k, colour in enumerate(listed.values())}
        self._has_map = path is not None
        self._number_of.setdefault(_packed(_BORDER), _VOID)
        self.classes = tuple(
            ClassInfo(name, name != _BACKGROUND and self.has_objects, number)
            for number, name in enumerate(names)
        )

    def read(self, name: str, size: tuple[int, int]) -> Painted:
        """The map of an image.

        Raises:
            FileError: when a PNG is missing, damaged or contradictory.
        """
        path = self._home / _CLASSES / f"{name}.png"
        others = self._home / _OBJECTS / f"{name}.png"
        if self._has_map and not path.is_file() and not others.is_file():
            return self._empty(size)
        classes = self._numbers(path, _opened(path, size))
        labels = {info.category_id: info.name for info in self.classes}
        if not self.has_objects:
            return Painted(ids=classes, labels=labels)
        objects = _objects(_opened(others, size))
        # What is of no object, and not void, is stuff: one segment of each class.
        void = (classes == _VOID) | (objects == _VOID)
        pairs = np.where(objects > 0, objects + 256, classes)
        ids, labels_of = np.zeros(size, np.int32), {}
        for segment, number in enumerate(np.unique(pairs[~void]).tolist(), start=1):
            own = (pairs == number) & ~void
            found = np.bincount(classes[own])
            if np.count_nonzero(found) > 1:
                what = f"object {number - 256} is of {np.count_nonzero(found)} classes in {name}"
                raise FileError("unknown class", str(others), f"{what}; export both PNGs again.")
            ids[own] = segment
            labels_of[segment] = labels[int(found.argmax())]
        return Painted(ids=ids, labels=labels_of)

    def _empty(self, size: tuple[int, int]) -> Painted:
        """Of an image without an object; void where there is no class of what is between."""
        number = next((i.category_id for i in self.classes if i.name == _BACKGROUND), None)
        if self.has_objects:
            is_known = number is not None
            labels = {1: _BACKGROUND} if is_known else {}
            return Painted(ids=np.full(size, int(is_known), np.int32), labels=labels)
        value = _VOID if number is None else number
        return Painted(ids=np.full(size, value, np.int32), labels={value: _BACKGROUND})

    def _numbers(self, path: Path, picture: Image.Image) -> np.ndarray:
        """``[H, W]`` int32, numbers of classes; 255 for void."""
        # Where a list gives colours, these count, whatever the number behind them.
        if picture.mode in ("RGB", "RGBA") or (self._has_map and picture.mode == "P"):
            packed = np.asarray(picture.convert("RGB"), np.int32) @ np.array([65536, 256, 1])
            values, places = np.unique(packed, return_inverse=True)
            numbers = [self._number_of.get(value, -1) for value in values.tolist()]
            strange = [f"#{v:06x}" for v, n in zip(values.tolist(), numbers, strict=True) if n < 0]
            found = np.array(numbers, np.int32)[places].reshape(packed.shape)
        else:
            found = np.asarray(picture, np.int32)
            used = np.unique(found)
            strange = used[(used >= len(self.classes)) & (used != _VOID)].astype(str).tolist()
        if strange:
            what = f"holds {', '.join(strange[:5])}, which stand for no class; list the classes "
            raise FileError("unknown class", str(path), f"{what}and their colours in labelmap.txt.")
        return found


def _objects(picture: Image.Image) -> np.ndarray:
    """``[H, W]`` int32, a number for each object; 0 for none and 255 for void."""
    if picture.mode in ("P", "L", "1"):
        return np.asarray(picture, np.int32)
    packed = np.asarray(picture.convert("RGB"), np.int32) @ np.array([65536, 256, 1])
    values, places = np.unique(packed, return_inverse=True)
    others = values[(values != 0) & (values != _packed(_BORDER))]
    # 255 stays free, for void.
    number = {value: k + (k >= _VOID) for k, value in enumerate(others.tolist(), start=1)}
    number |= {0: 0, _packed(_BORDER): _VOID}
    return np.array([number[value] for value in values.tolist()], np.int32)[places].reshape(
        packed.shape
    )


def _opened(path: Path, size: tuple[int, int]) -> Image.Image:
    if not path.is_file():
        what = f"missing, and a list in {_LISTS} names it; put it there, or cut the list."
        raise FileError("missing mask", str(path), what)
    return open_image(path, size=size, json_name="its image", kind="unreadable mask")


def _labelmap(source: Source, path: Path) -> dict[str, tuple[int, int, int]]:
    """Name → colour, from lines ``name:r,g,b:parts:actions``; those with # in front say nothing."""
    lines = enumerate(source.lines(path), start=1)
    said = [(number, line) for number, line in lines if line.strip() and line[0] != "#"]
    found: dict[str, tuple[int, int, int]] = {}
    for (number, line), usual in zip(said, _colours(len(said)), strict=True):
        name, _, rest = line.partition(":")
        colour = rest.split(":")[0].strip()
        try:
            red, green, blue = map(int, colour.split(",")) if colour else usual
        except ValueError as error:
            raise DataError(
                f"{path}:{number}: {line!r} is no class; write name:red,green,blue::"
            ) from error
        found[name.strip()] = (red, green, blue)
    return found


def _packed(colour: tuple[int, int, int]) -> int:
    return colour[0] * 65536 + colour[1] * 256 + colour[2]


def _colours(count: int) -> list[tuple[int, int, int]]:
    """VOC's colours: the bits of a number, three by three, are the highest of red, green, blue."""
    return [
        tuple(
            sum((number >> (3 * k + channel) & 1) << (7 - k) for k in range(8))
            for channel in range(3)
        )
        for number in range(count)
    ]
