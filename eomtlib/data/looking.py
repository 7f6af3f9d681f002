"""What the images of a data set hold, looked at one by one, in several processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from eomtlib.data.dataset import FileDataset
from eomtlib.data.decoding import image_files
from eomtlib.data.decoding.problems import FileError
from eomtlib.data.feed.loaders import read_in_order

_WORTH_A_PROCESS = 100


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What there is of an image.

    Attributes:
        problems: that keep it or its annotation from being read.
        is_annotated: whether its annotation can be read.
        areas: ``[K]`` pixels of each segment; empty where it cannot.
        labels: ``[K]`` class of each.
        is_crowd: ``[K]`` bool.
        has_void: whether any pixel is of no segment.
        is_turned: by its EXIF data.
    """

    problems: tuple[FileError, ...]
    is_annotated: bool
    areas: np.ndarray
    labels: np.ndarray
    is_crowd: np.ndarray
    has_void: bool
    is_turned: bool


def look_at(
    dataset: FileDataset, indices: Sequence[int], *, workers: int | None = None
) -> Iterator[Seen]:
    """Reads images with their annotations, whatever is wrong with them.

    Args:
        dataset: whose.
        indices: of those to be looked at.
        workers: processes; None for ``default_workers``, where there are enough images.

    Yields:
        In the order of ``indices``.
    """
    if workers is None and len(indices) < _WORTH_A_PROCESS:
        workers = 0
    return iter(read_in_order(dataset, indices, partial(_look, dataset), workers))


def _look(dataset: FileDataset, index: int) -> Seen:
    problems: list[FileError] = []
    areas = labels = np.zeros(0, np.int64)
    is_crowd = np.zeros(0, bool)
    is_turned = is_annotated = has_void = False
    try:
        content = dataset.image_file(index)
        is_turned = image_files.is_turned(content)
        dataset.decode_image(content, index)
    except FileError as error:
        problems.append(error)
    # What an annotation claims, and no image confirms, is not made room for.
    if not problems or math.prod(dataset.size(index)) <= image_files.MAX_PIXELS:
        try:
            segments = dataset.read_segments(index)
            is_annotated, ids = True, segments.ids.numpy()
            areas = np.bincount(ids.ravel() + 1, minlength=segments.num_segments + 1)[1:]
            labels, is_crowd = segments.labels.numpy(), segments.is_crowd.numpy()
            has_void = bool((ids.max(0) < 0).any())
        except FileError as error:
            problems.append(error)
    return Seen(
        problems=tuple(problems),
        is_annotated=is_annotated,
        areas=areas,
        labels=labels,
        is_crowd=is_crowd,
        has_void=has_void,
        is_turned=is_turned,
    )
