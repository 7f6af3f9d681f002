"""Reads every file of a data set, and says of each what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.core.structures import SegmentMap
from eomtlib.data.dataset import FileDataset
from eomtlib.data.decoding.problems import FileError
from eomtlib.data.registry import open_files


class Findings:
    """What was found, counted and said as it is found.

    Args:
        say: is given a line for each.

    Attributes:
        kinds: how many of each of ``problems.KINDS``.
        images: images that were looked at.
        segments: segments of theirs.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.kinds: Counter[str] = Counter()
        self.images = self.segments = 0
        self._say = say
        self._missing: set[str] = set()

    def add(self, error: FileError) -> None:
        """Notes a problem; that a missing file cannot be read either is no further one."""
        if error.where in self._missing:
            return
        if error.kind in ("missing image", "missing mask"):
            self._missing.add(error.where)
        self.note(error.kind, str(error))

    def note(self, kind: str, text: str) -> None:
        """Notes a problem by its text."""
        self.kinds[kind] += 1
        self._say(f"{kind}: {text}")

    def summary(self) -> str:
        """A line of counts."""
        read = f"{self.images} image(s) with {self.segments} segment(s)"
        if not self.kinds:
            return f"{read}: nothing found"
        total = sum(self.kinds.values())
        counts = ", ".join(f"{count} × {kind}" for kind, count in sorted(self.kinds.items()))
        return f"{read}: {total} finding(s): {counts}"


def check_split(
    name: str, split: str, *, task: str, data_path: str | Path | None, findings: Findings
) -> None:
    """Reads every image and every annotation of a split, whatever it finds.

    Of an entry of an annotation file, and of a file, the first problem is named.

    Args:
        name: of the data set.
        split: ``train`` or ``val``.
        task: that its annotations are read for.
        data_path: the folder that holds its files.
        findings: is added to.

    Raises:
        ConfigurationError: for an unknown name, task or split, or a missing ``data_path``.
    """
    try:
        dataset = open_files(name, split, task=task, data_path=data_path, report=findings.add)
    except ConfigurationError:
        raise
    except DataError as error:
        findings.note("unusable data set", str(error))
        return
    for index in tqdm(range(len(dataset)), desc=f"checking {split}", delay=3):
        findings.images += 1
        try:
            dataset.read_image(index)
        except FileError as error:
            findings.add(error)
        try:
            segments = dataset.read_segments(index)
        except FileError as error:
            findings.add(error)
        else:
            findings.segments += segments.num_segments
            _check_segments(dataset, index, segments, findings)


def _check_segments(
    dataset: FileDataset, index: int, segments: SegmentMap, findings: Findings
) -> None:
    where, image = dataset.annotation_of(index), dataset.image_of(index)
    if not segments.num_segments and not dataset.faulty[index]:
        what = f"has no segment for {image}; annotate the image or remove it."
        findings.add(FileError("empty annotation", where, what))
    ids = segments.ids.numpy().ravel()
    areas = np.bincount(ids + 1, minlength=segments.num_segments + 1)[1:]
    for number in np.flatnonzero(areas == 0).tolist():
        name = dataset.classes[int(segments.labels[number])].name
        what = f"segment {number} of {image}, a {name!r}, has no pixel; correct or remove it."
        findings.add(FileError("zero-area segment", where, what))
