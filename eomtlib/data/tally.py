"""Counts over the images of a data set: of its classes, and of the segments of an image."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from eomtlib.data.dataset import FileDataset
from eomtlib.data.formats.class_masks import MaskFiles
from eomtlib.data.looking import Seen

_NAMED = 8
"""So many of a long list are named."""


class Tally:
    """Counts over images of one data set.

    Args:
        dataset: theirs.
        task: what a model is to find in them.

    Attributes:
        dataset: as above.
        images: so far.
        segments: ``[classes]``, those that show.
        pixels: ``[classes]`` of them.
        images_with: ``[classes]`` images in which each class shows.
        area: pixels of all images whose annotation can be read.
        found_by: of each such image, how many segments a model of the task is to find: of a
            semantic one its classes, of instances the things; crowds are none.
    """

    def __init__(self, dataset: FileDataset, task: str) -> None:
        self.dataset, self._task = dataset, task
        self._has_numbers = isinstance(dataset, MaskFiles)
        self.images = self.area = self._void = self._turned = self._annotated = 0
        self.segments, self.pixels, self.images_with = np.zeros((3, len(dataset.classes)), np.int64)
        self.found_by: list[int] = []
        self._is_thing = np.array([info.is_thing for info in dataset.classes], bool)
        self._whole: list[int] = []
        self._best = np.full((len(dataset.classes), 2), -1.0)  # share of an image, and which

    def add(self, index: int, seen: Seen) -> None:
        """Counts another image, which is at that position of the data set."""
        self.images += 1
        self._turned += seen.is_turned
        self._void += seen.has_void
        self._annotated += seen.is_annotated
        shown = seen.areas > 0
        labels, count = seen.labels[shown], len(self.segments)
        pixels = np.bincount(labels, seen.areas[shown], count)
        self.segments += np.bincount(labels, minlength=count)
        self.pixels += pixels.astype(np.int64)
        self.images_with += pixels > 0
        if not seen.is_annotated:
            return
        size = int(np.prod(self.dataset.size(index), dtype=np.int64))
        self.area += size
        is_target = shown & ~seen.is_crowd
        if self._task == "instance":
            is_target &= self._is_thing[seen.labels]
        is_semantic = self._task == "semantic"
        self.found_by.append(len(np.unique(labels)) if is_semantic else int(is_target.sum()))
        if not seen.problems:
            self._whole.append(index)
            better = pixels / size > self._best[:, 0]
            self._best[better] = np.column_stack([pixels / size, np.full(count, index)])[better]

    def remarks(self) -> Iterable[str]:
        """What is to be known of them all."""
        classes = self.dataset.classes
        absent = [info for info, n in zip(classes, self.segments, strict=True) if not n]
        if absent and self.images:
            names = ", ".join(f"{info.name} (id {info.category_id})" for info in absent[:_NAMED])
            more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
            text = f"{len(absent)} of {len(classes)} classes have no segment: {names}{more}"
            if self._has_numbers and self._void == self._annotated > 0:
                text += "; void (255 of one's own masks) is in all of them"
            yield text
        if self._turned:
            yield f"{self._turned} of {self.images} image(s) have an EXIF orientation"

    def examples(self, count: int) -> list[int]:
        """Positions of so many images of which nothing is wrong, in order.

        Of each class the one that shows most of it, the rarest first; then some of all the set.
        """
        rarest = self.images_with.argsort(kind="stable")
        chosen = dict.fromkeys(self._best[rarest, 1][self.images_with[rarest] > 0].astype(int))
        chosen = dict.fromkeys([place for place in chosen if place >= 0][: count - count // 4])
        others = [place for place in self._whole if place not in chosen]
        evenly = np.linspace(0, len(others) - 1, min(count - len(chosen), len(others)))
        return sorted([*chosen, *(others[int(k)] for k in evenly)])
