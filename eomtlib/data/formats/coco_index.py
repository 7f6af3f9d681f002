"""What COCO's annotation files have in common: categories and images, checked, kept as arrays."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw
from PIL import ImageColor

from eomtlib.core.structures import ClassInfo
from eomtlib.data.dataset import MAX_SIDE
from eomtlib.data.decoding.json_lists import JsonLists
from eomtlib.data.decoding.names import plain_name
from eomtlib.data.decoding.problems import FileError, Report

MAX_SEGMENTS = np.iinfo(np.int16).max


class EntryError(ValueError):
    """What is wrong with an entry, by its kind (of ``problems.KINDS``)."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


def whole(value: Any) -> int:
    """A whole number, also where it is written as a text.

    Raises:
        ValueError, TypeError: when it is none.
    """
    if isinstance(value, float) and value != int(value):
        raise ValueError(f"{value} is no whole number")
    return int(value)


def flag(value: Any) -> bool:
    """0 or 1, false or true, also where it is written as a text; errors as of ``whole``."""
    if whole(value) not in (0, 1):
        raise ValueError(f"{value!r} is neither 0 nor 1")
    return bool(whole(value))


def color(value: Any) -> tuple[int, int, int] | None:
    """Three whole numbers 0 to 255, or a text such as ``#dc143c``; None for none.

    Raises:
        ValueError: when it is no colour.
    """
    if not value:
        return None
    try:
        red, green, blue = ImageColor.getrgb(value)[:3] if isinstance(value, str) else value
        levels = whole(red), whole(green), whole(blue)
        if not 0 <= min(levels) <= max(levels) <= 255:
            raise ValueError("out of range")
    except (TypeError, ValueError, OverflowError) as error:
        what = f"color {value!r} is neither three numbers 0 to 255 nor a text like '#dc143c'"
        raise ValueError(what) from error
    return levels


def _otherwise(value: Any) -> int | str | None:
    """An image's id in the other of the two ways in which a number is written; None for none."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() else None
    return str(whole(value))


class CocoIndex:
    """An annotation file as arrays: 118,000 images as Python objects would be copied to workers.

    Args:
        lists: the JSON file.
        report: is given what is wrong with an entry; if it returns, the entry is left out.
        things_by_default: whether a category without ``isthing`` is a thing; else it is an error.

    Attributes:
        where: how error messages name the file.
        classes: in the file's order.
        image_ids: ``[N]`` int64; where any of the file's ids is a text, their positions.
        own_ids: ``[N]`` bytes, the file's ids as JSON.
        sizes: ``[N, 2]`` int32, height and width.
        image_names: ``[N]`` bytes, the file names.
        faulty: ``[N]`` bool, images whose annotation was left out for an error.
        notes: what is odd, and was put in order.

    Raises:
        DataError: when the file is no such object of lists.
        FileError: from ``report``, naming the file and the entry that cannot be used.
    """

    def __init__(self, lists: JsonLists, report: Report, *, things_by_default: bool) -> None:
        self.where = lists.where
        self._lists, self._report = lists, report
        self._things_by_default = things_by_default
        self.notes: list[str] = []
        self._classes: dict[int, ClassInfo] = {}
        self._above: dict[str, str] = {}  # name → supercategory
        self.each("categories", self._add_class)
        self.classes = tuple(self._classes.values())
        self.class_of = {number: index for index, number in enumerate(self._classes)}
        self.rows: dict[int | str, int] = {}
        self._sizes, self._names = array("i"), []
        self.each("images", self._add_image)
        are_numbers = not any(isinstance(image_id, str) for image_id in self.rows)
        self.image_ids = np.array(
            list(self.rows) if are_numbers else range(len(self.rows)), np.int64
        )
        self.own_ids = np.array([msgspec.json.encode(own) for own in self.rows], np.bytes_)
        self.sizes = np.array(self._sizes, np.int32).reshape(-1, 2)
        self.image_names = np.array(self._names, np.bytes_)
        self.faulty = np.zeros(len(self.rows), bool)
        del self._sizes, self._names, self._classes

    def each(self, part: str, add: Callable[[int, dict, Raw], None]) -> None:
        """Hands each entry of a list to ``add``, with its position and its text."""
        for position, text in enumerate(self._lists.entries(part)):
            try:
                add(position, msgspec.json.decode(text), text)
                continue
            except EntryError as error:
                kind, what = error.kind, str(error)
            except KeyError as error:
                kind, what = "malformed entry", f"lacks the field {error}"
            except (TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
                kind, what = "malformed entry", str(error)
            advice = "correct the entry or fetch the file again"
            self._report(FileError(kind, self.where, f"{part}[{position}]: {what}; {advice}."))

    def settle_classes(self, labels: np.ndarray) -> np.ndarray:
        """Leaves out categories without a segment that exports have as the root of all others.

        Such a root has another's name, or is what others name as their ``supercategory``.

        Args:
            labels: ``[T]`` of all segments, positions in ``classes``.

        Returns:
            The same, positions in what ``classes`` is then.
        """
        used = np.bincount(labels, minlength=len(self.classes)) > 0
        kept = np.ones(len(self.classes), bool)
        names = [info.name for info in self.classes]
        for index, info in enumerate(self.classes):
            twins = [k for k, name in enumerate(names) if name == info.name and kept[k]]
            is_above = any(own == info.name != name for name, own in self._above.items())
            if len(twins) < 2 and not is_above:
                continue
            if len(labels) and not used[index]:
                kept[index] = False
                self.notes.append(
                    f"category {info.name!r} (id {info.category_id}), a root of others, has no "
                    "segment and is left out"
                )
            elif len(twins) < 2:
                continue
            elif not len(labels) or used[twins].sum() > 1:
                what = f"categories: the name {info.name!r} comes twice; rename one of them."
                self._report(FileError("duplicate id", self.where, what))
                kept[index] = False
        self.classes = tuple(info for info, keep in zip(self.classes, kept, strict=True) if keep)
        return (np.cumsum(kept) - 1)[labels]

    def row_of(self, entry: dict) -> int:
        """The position of the image that an annotation belongs to."""
        row = self.rows.get(entry["image_id"])
        if row is None:
            row = self.rows.get(_otherwise(entry["image_id"]))
        if row is None:
            what = f"image_id {entry['image_id']!r} is not among the images"
            raise EntryError("unknown id", what)
        return row

    def _add_class(self, position: int, entry: dict, text: Raw) -> None:
        name, number = str(entry["name"]), whole(entry["id"])
        default = {"isthing": True} if self._things_by_default else {}
        is_thing = flag((default | entry)["isthing"])
        if number in self._classes:
            raise EntryError("duplicate id", f"id {number} comes twice")
        self._classes[number] = ClassInfo(name, is_thing, number, color(entry.get("color")))
        self._above[name] = str(entry.get("supercategory", ""))

    def _add_image(self, position: int, entry: dict, text: Raw) -> None:
        image_id = entry["id"] if isinstance(entry["id"], str) else whole(entry["id"])
        number = 0 if isinstance(image_id, str) else image_id
        height, width = whole(entry["height"]), whole(entry["width"])
        name = plain_name(str(entry["file_name"]), self.where)
        if not 0 < min(height, width) <= max(height, width) <= MAX_SIDE or abs(number) >> 63:
            raise ValueError(f"id {image_id}, height × width {height} × {width}")
        if image_id in self.rows:
            raise EntryError("duplicate id", f"id {image_id} comes twice")
        self.rows[image_id] = len(self.rows)
        self._sizes.extend((height, width))
        self._names.append(name.encode())
