"""Reads every file of a data set, and says of each what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from eomtlib.core.console import progress
from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.data.dataset import FileDataset
from eomtlib.data.decoding.problems import FileError
from eomtlib.data.looking import Seen, look_at
from eomtlib.data.registry import open_files
from eomtlib.data.tally import Tally
from eomtlib.data.task_views import in_order_of


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

    def remark(self, text: str) -> None:
        """Says what is to be known, and is not wrong by itself."""
        self._say(f"note: {text}")

    def summary(self) -> str:
        """A line of counts."""
        read = f"{self.images} image(s) with {self.segments} segment(s)"
        if not self.kinds:
            return f"{read}: nothing found"
        total = sum(self.kinds.values())
        counts = ", ".join(f"{count} × {kind}" for kind, count in sorted(self.kinds.items()))
        return f"{read}: {total} finding(s): {counts}"


def check_split(
    name: str,
    split: str,
    *,
    task: str,
    data_path: str | Path | None,
    findings: Findings,
    files: str = "",
    exif: str = "apply",
    workers: int | None = None,
) -> Tally | None:
    """Reads every image and every annotation of a split, whatever it finds.

    Of an entry of an annotation file, and of a file, the first problem is named.

    Args:
        name: of the data set.
        split: ``train`` or ``val``.
        task: that its annotations are read for.
        data_path: the folder that holds its files.
        findings: is added to.
        files: as ``open_dataset`` takes it.
        exif: as ``open_dataset`` takes it.
        workers: processes; None for ``default_workers``.

    Returns:
        Counts over the split, None where it cannot be opened.

    Raises:
        ConfigurationError: for an unknown name, task or split, or a missing ``data_path``.
    """
    try:
        dataset = open_files(
            name,
            split,
            task=task,
            data_path=data_path,
            files=files,
            report=findings.add,
            exif=exif,
        )
    except ConfigurationError:
        raise
    except DataError as error:
        findings.note("unusable data set", str(error))
        return None
    seen = look_at(dataset, range(len(dataset)), workers=workers)
    tally = Tally(dataset, task)
    bar = progress(seen, f"checking {split}", total=len(dataset), unit="images", delay=3)
    for index, image in enumerate(bar):
        for problem in image.problems:
            findings.add(problem)
        tally.add(index, image)
        _check_segments(dataset, index, image, findings)
    findings.images += tally.images
    findings.segments += int(tally.segments.sum())
    for text in (*dataset.notes, *tally.remarks()):
        findings.remark(f"{split}: {text}")
    return tally


def check_both(train: FileDataset, val: FileDataset, *, findings: Findings) -> None:
    """What two splits must and must not have in common.

    Args:
        train: of which every file is there.
        val: likewise.
        findings: is added to.
    """
    try:
        in_order_of(val, train.classes)
    except DataError as error:
        findings.note("classes differ", str(error))
    try:
        known, own = (np.asarray(part.image_checksums()) for part in (train, val))
    except DataError:
        return  # a file is missing, which was said
    shared = np.flatnonzero(np.isin(own, known))
    if len(shared):
        first = val.image_of(int(shared[0]))
        text = f"{len(shared)} of {len(own)} val image(s) are training images, the first is {first}"
        findings.note("same picture in both splits", f"{text}; take them out of one.")


def _check_segments(dataset: FileDataset, index: int, seen: Seen, findings: Findings) -> None:
    where, image = dataset.annotation_of(index), dataset.image_of(index)
    if seen.is_annotated and not len(seen.labels) and not dataset.faulty[index]:
        what = f"has no segment for {image}; annotate the image or remove it."
        findings.add(FileError("empty annotation", where, what))
    for number in np.flatnonzero(seen.areas == 0).tolist():
        name = dataset.classes[int(seen.labels[number])].name
        what = f"segment {number} of {image}, a {name!r}, has no pixel; correct or remove it."
        findings.add(FileError("zero-area segment", where, what))
