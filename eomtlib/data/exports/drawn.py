"""What every tool's export comes down to: images in splits, and what was drawn on them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as rle_masks

from eomtlib.core.errors import DataError
from eomtlib.core.structures import ClassInfo
from eomtlib.data.decoding.image_files import image_size
from eomtlib.data.decoding.names import as_spelled, plain_name
from eomtlib.data.decoding.problems import FileError, Report

_CORNERS = 64
"""Of a circle: its area is 0.2 % too small then."""

_SPLITS = {
    "train": ("train", "training", "trainval", "default"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """An object, or a part of one.

    Attributes:
        label: name of its class.
        outline: as COCO's instance format has it: polygons ``[x, y, x, y, …]`` in pixels, whose
            origin is the upper left corner of the first pixel, or run lengths.
        where: how errors name the entry that it comes from.
        is_crowd: whether it is many that nobody told apart.
        group: of one label, parts with the same are one object; None for an object of its own.
    """

    label: str
    outline: Any
    where: str
    is_crowd: bool = False
    group: object = None


@dataclass(frozen=True, kw_only=True)
class Painted:
    """A map instead of outlines, for what does not overlap and has a void.

    Attributes:
        ids: ``[H, W]`` int32, 0 for void; of classes alone their ``category_id``, and 255.
        labels: name of the class of each id.
    """

    ids: np.ndarray
    labels: dict[int, str]


@dataclass(frozen=True, kw_only=True)
class Photo:
    """An image with its annotation.

    Attributes:
        image: its file, or the content of one.
        name: that it has in its split, with folders.
        size: height and width as it is annotated.
        objects: that were drawn on it.
        painted: the map of it, if its export is one of maps.
        is_annotated: whether anything says what is on it, even if that is nothing.
    """

    image: Path | bytes
    name: str
    size: tuple[int, int]
    objects: tuple[Drawn, ...] = ()
    painted: Painted | None = None
    is_annotated: bool = True


@dataclass(frozen=True, kw_only=True)
class Export:
    """A data set as a tool wrote it.

    Attributes:
        form: ``instance``, ``panoptic`` or ``semantic``: what can be made of it.
        classes: in their order.
        splits: of ``train``, ``val``, ``test`` those that it has → the images, read one by one.
    """

    form: str
    classes: tuple[ClassInfo, ...]
    splits: dict[str, Callable[[], Iterator[Photo]]]


@dataclass(frozen=True)
class Source:
    """What a reader is given.

    Attributes:
        root: the folder of the export. Nothing outside of it is read, whatever its files say.
        report: is given what is wrong with a file or an entry; what it is of is left out then.
        remark: is given what is to be known, and is not wrong.
        upright: whether who drew saw images as their EXIF data turn them.
    """

    root: Path
    report: Report
    remark: Callable[[str], None]
    upright: bool = True

    def read(self, path: Path) -> bytes:
        """The content of a file.

        Raises:
            DataError: when it cannot be read.
        """
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); export the data set again."
            ) from error

    def lines(self, path: Path) -> list[str]:
        """The lines of a text file.

        Raises:
            DataError: when it cannot be read, or is not in UTF-8.
        """
        try:
            return self.read(path).decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: is no text in UTF-8 ({error}); save it as such.") from error

    def below(self, name: str, where: object) -> Path:
        """The path of a name that an export's file gives, relative to ``root``.

        Raises:
            DataError: when it leads out of ``root``; names the file, ``where``.
        """
        return self.root / plain_name(name, where)

    def find(self, name: str, folders: Iterable[str], where: str) -> Path | None:
        """A file of that name in the first of some folders of ``root`` that has it.

        None where there is none, which is reported. Accents may be composed in either way.
        """
        tried = [self.below(f"{folder}/{name}" if folder else name, where) for folder in folders]
        for path in tried:
            if path.is_file():
                return path
            if path.parent.is_dir() and not path.name.isascii():
                there = (own.name for own in path.parent.iterdir())
                (spelled,) = as_spelled([path.name], there)
                if (path.parent / spelled).is_file():
                    return path.parent / spelled
        what = f"missing, and {where} names it; put it there, or take it out of the export."
        self.report(FileError("missing image", str(tried[0]), what))
        return None

    def leave_out(self, kinds: Counter[str], without_area: Iterable[str]) -> None:
        """Remarks how many shapes there are of kinds that outline nothing."""
        for kind in without_area:
            if kinds[kind]:
                self.remark(f"{kinds[kind]} {kind}(s) have no area and are left out")

    def size_of(
        self, image: Path | bytes, *, where: str, said: tuple[int, int] | None = None
    ) -> tuple[int, int] | None:
        """Height and width of an image as it was annotated; None where that is unknown.

        Args:
            image: the file, or its content.
            where: how errors name the annotation.
            said: what its annotation says, if it says it; held against the file.
        """
        try:
            size = image_size(image, upright=self.upright, where=where)
        except FileError as error:
            self.report(error)
            return None
        if said in (None, size):
            return size
        name = image if isinstance(image, Path) else f"the image in {where}"
        what = f"says {said[0]} × {said[1]} (height × width), but {name} is {size[0]} × {size[1]}"
        other = image_size(image, upright=not self.upright, where=where)
        advice = (
            "give --exif ignore, here and wherever the data set is used"
            if self.upright and said == other
            else "export the data set again"
        )
        self.report(FileError("size mismatch", where, f"{what}; {advice}."))
        return None


def split_named(name: str) -> str:
    """Of ``train``, ``val`` and ``test``, which a folder or subset is; ``train`` for any other."""
    known = (split for split, names in _SPLITS.items() if name.lower() in names)
    return next(known, "train")


def things(names: Iterable[str]) -> tuple[ClassInfo, ...]:
    """Classes of things, numbered from 1."""
    return tuple(ClassInfo(name, True, number) for number, name in enumerate(names, start=1))


def joined(objects: Sequence[Drawn], size: tuple[int, int]) -> tuple[Drawn, ...]:
    """Objects with the parts of each put together, in the order of their first parts."""
    parts: dict[object, list[Drawn]] = {}
    for number, one in enumerate(objects):
        key = (number,) if one.group is None else (one.label, one.group)
        parts.setdefault(key, []).append(one)
    return tuple(
        replace(own[0], outline=_together([part.outline for part in own], size), group=None)
        for own in parts.values()
    )


def _together(outlines: list[Any], size: tuple[int, int]) -> Any:
    if len(outlines) == 1:
        return outlines[0]
    if all(isinstance(outline, list) for outline in outlines):
        return [polygon for outline in outlines for polygon in outline]
    encoded = []
    for outline in outlines:
        made = rle_masks.frPyObjects(outline, *size) if isinstance(outline, list) else outline
        encoded.append(rle_masks.merge(made) if isinstance(made, list) else made)
    return _as_text(rle_masks.merge(encoded))


def outline_of(part: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    """A mask as COCO's compressed run lengths.

    Args:
        part: ``[h, w]`` bool, of the image.
        corner: row and column of its upper left pixel.
        size: height and width of the image.

    Raises:
        ValueError: when it lies outside of the image.
    """
    (top, left), (height, width) = corner, part.shape
    if top < 0 or left < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError("a mask lies outside of its image")
    mask = np.zeros(size, np.uint8, order="F")
    mask[top : top + height, left : left + width] = part
    return _as_text(rle_masks.encode(mask))


def through_centres(polygons: list[list[float]], size: tuple[int, int]) -> dict[str, Any]:
    """The mask of polygons whose corners are pixels of the object, as OpenCV's contours have it.

    Args:
        polygons: ``[x, y, x, y, …]`` each, 0 for the centre of the first pixel; rounded.
        size: height and width of the image.

    Returns:
        COCO's compressed run lengths.
    """
    picture = Image.new("1", size[::-1])
    for polygon in polygons:
        ImageDraw.Draw(picture).polygon([round(value) for value in polygon], fill=1, outline=1)
    return outline_of(np.asarray(picture), (0, 0), size)


def _as_text(encoded: dict[str, Any]) -> dict[str, Any]:
    return {"size": list(map(int, encoded["size"])), "counts": encoded["counts"].decode("ascii")}


def rectangle(left: float, top: float, right: float, bottom: float) -> list[float]:
    """A box as a polygon."""
    return [left, top, right, top, right, bottom, left, bottom]


def ellipse(centre: tuple[float, float], radii: tuple[float, float]) -> list[float]:
    """An ellipse as a polygon."""
    angles = [2 * math.pi * k / _CORNERS for k in range(_CORNERS)]
    return [
        number
        for angle in angles
        for number in (
            centre[0] + radii[0] * math.cos(angle),
            centre[1] + radii[1] * math.sin(angle),
        )
    ]


def rotated(polygon: list[float], centre: tuple[float, float], degrees: float) -> list[float]:
    """A polygon turned about a point, clockwise as one sees the image."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    moved = []
    for x, y in zip(polygon[::2], polygon[1::2], strict=True):
        dx, dy = x - centre[0], y - centre[1]
        moved += [centre[0] + cos * dx - sin * dy, centre[1] + sin * dx + cos * dy]
    return moved
