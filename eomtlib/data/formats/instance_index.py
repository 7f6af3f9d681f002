"""COCO's instance annotation file, checked entry by entry and kept as arrays and text."""

from __future__ import annotations

from array import array
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec import Raw

from eomtlib.data.decoding.json_lists import JsonLists
from eomtlib.data.decoding.problems import Report, refuse
from eomtlib.data.formats.coco_index import MAX_SEGMENTS, CocoIndex, EntryError, flag, whole
from eomtlib.data.formats.outlines import text_pixels

_MIN_NUMBERS = 6
"""Of a polygon: three corners."""


class InstanceIndex(CocoIndex):
    """An instance annotation file as arrays; arguments and errors as of ``CocoIndex``.

    Outlines stay the text that they are in the file, which takes less room than their numbers.

    Attributes:
        starts, counts: ``[N]``; segments of image i are ``[starts[i] : starts[i] + counts[i]]``
            of the following, in the file's order. An image that is not annotated has none.
        labels: ``[T]`` int32, positions in ``classes``.
        is_crowd: ``[T]`` bool.
    """

    def __init__(self, lists: JsonLists, report: Report = refuse) -> None:
        super().__init__(lists, report, things_by_default=True)
        # Row of the image, class, crowd or not.
        self._segments = tuple(array(code) for code in "iib")
        self._texts: list[Raw] = []
        self._totals = np.zeros(len(self.rows), np.int64)
        self._seen: set[int | str] = set()
        self._repeated = 0
        self.each("annotations", self._add_annotation)
        rows, labels, is_crowd = (np.array(part) for part in self._segments)
        order = np.argsort(rows, kind="stable")
        self.counts = np.bincount(rows, minlength=len(self.rows)).astype(np.int32)
        self.starts = np.cumsum(self.counts, dtype=np.int64) - self.counts
        self.labels = self.settle_classes(labels[order]).astype(np.int32)
        self.is_crowd = is_crowd[order].astype(bool)
        if self._repeated:
            self.notes.append(f"{self._repeated} annotation id(s) come twice; nothing needs them")
        # One byte more than the texts, since PyTorch takes no empty memory.
        texts = [memoryview(self._texts[segment]) for segment in order.tolist()]
        # Tensors: worker processes share their memory, whichever way they start.
        self._bounds = torch.tensor([0] + [len(text) for text in texts]).cumsum(0)
        self._text = torch.frombuffer(bytearray().join([*texts, b"\0"]), dtype=torch.uint8)
        del self._segments, self._texts, self._seen, self._totals, self._lists, self.rows

    def outline(self, segment: int) -> Any:
        """A segment's polygons or run lengths, as the file gives them: argument of ``rasterise``.

        Args:
            segment: position among the T.
        """
        begin, end = self._bounds[segment : segment + 2].tolist()
        return as_polygons(msgspec.json.decode(self._text[begin:end].numpy())["segmentation"])

    def _add_annotation(self, position: int, entry: dict, text: Raw) -> None:
        row = self.row_of(entry)
        faulty, self.faulty[row] = self.faulty[row], True  # until it is found to be in order
        number = entry.get("id", f"position {position}")
        self._repeated += number in self._seen
        self._seen.add(number)
        category = whole(entry["category_id"])
        if category not in self.class_of:
            what = f"category_id {entry['category_id']!r} is not among the categories"
            raise EntryError("unknown class", what)
        self._totals[row] += 1
        if self._totals[row] > MAX_SEGMENTS:
            raise ValueError(f"its image has more than {MAX_SEGMENTS} segments")
        is_crowd = flag(entry.get("iscrowd", 0))
        check_outline(as_polygons(entry["segmentation"]), self._sizes_of(row))
        label = self.class_of[category]
        for part, value in zip(self._segments, (row, label, is_crowd), strict=True):
            part.append(value)
        self._texts.append(text)
        self.faulty[row] = faulty

    def _sizes_of(self, row: int) -> tuple[int, int]:
        return int(self.sizes[row, 0]), int(self.sizes[row, 1])


def as_polygons(outline: Any) -> Any:
    """One polygon as a list of its numbers is a list of one; all else is as it is."""
    flat = isinstance(outline, list) and outline and isinstance(outline[0], int | float)
    return [outline] if flat else outline


def check_outline(outline: Any, size: tuple[int, int]) -> None:
    """Refuses what pycocotools would make no mask of, or a mask of any size.

    Raises:
        ValueError, KeyError, TypeError: for an outline that cannot be used.
    """
    height, width = size
    if not outline:
        raise EntryError("zero-area segment", "segmentation is empty")
    if isinstance(outline, list):
        for polygon in outline:
            numbers = array("d", polygon)
            if len(numbers) < _MIN_NUMBERS or len(numbers) % 2:
                raise ValueError(
                    f"a polygon of {len(numbers)} numbers; it needs x and y of three corners"
                )
            # A polygon's cost is its length, so none may lead far out of the image.
            reach = 2 * max(height, width)
            if not -reach <= min(numbers) <= max(numbers) <= reach:
                raise ValueError("a polygon lies far outside of its image")
        return
    counts, own_size = outline["counts"], tuple(outline["size"])
    if own_size != size:
        what = f"run lengths for height × width {own_size}, but its image is {size}"
        raise EntryError("size mismatch", what)
    if isinstance(counts, str):
        pixels = text_pixels(counts.encode())
    elif isinstance(counts, list):
        if not all(isinstance(count, int) for count in counts):
            raise ValueError("run lengths must be whole numbers")
        pixels = sum(counts) if min(counts, default=0) >= 0 else -1
    else:
        raise ValueError("counts must be a list of run lengths, or COCO's text of them")
    if pixels != height * width:
        raise ValueError(f"run lengths do not add up to {height} × {width} pixels")
