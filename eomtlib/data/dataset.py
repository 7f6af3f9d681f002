"""What a data set is to the rest of the library, and what all that are read from files share."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from eomtlib.core.errors import DataError
from eomtlib.core.structures import VOID, ClassInfo, SegmentMap
from eomtlib.data.decoding.archives import Store
from eomtlib.data.decoding.image_files import decode_image
from eomtlib.data.decoding.problems import FileError, Report, refuse

SPLITS = ("train", "val")
ON_EMPTY = ("skip", "keep", "error")
MAX_SIDE = 65535
"""Of an image, in pixels."""


class SegmentationDataset(Protocol):
    """What the loaders and the evaluation need of a data set, whatever its task.

    Attributes:
        classes: in the order of the class indices.
        image_ids: ``[N]`` int64, as the annotation file gives them.
        sizes: ``[N, 2]`` int32, height and width.
    """

    classes: tuple[ClassInfo, ...]
    image_ids: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int: ...

    def read(self, index: int) -> tuple[Tensor, SegmentMap]:
        """The image ``[3, H, W]`` uint8 and its segments ``[K, H, W]``, both at full size."""

    def stem(self, index: int) -> str:
        """The name of an image's file, without folders and ending."""


@dataclass(frozen=True)
class Images:
    """The images of a data set, as its annotations list them.

    Attributes:
        store: their files.
        names: ``[N]`` bytes.
        ids: ``[N]`` int64.
        sizes: ``[N, 2]`` int32, height and width.
    """

    store: Store
    names: np.ndarray
    ids: np.ndarray
    sizes: np.ndarray

    def chosen(self, keep: np.ndarray) -> Images:
        """Those that ``[N]`` bool marks."""
        return Images(self.store, self.names[keep], self.ids[keep], self.sizes[keep])


class FileDataset(ABC):
    """A data set in files.

    Args:
        images: what there is to read.
        classes: in the order of the class indices.

    Attributes:
        classes, image_ids, sizes: as in ``SegmentationDataset``.
        faulty: ``[N]`` bool, images whose annotation was reported as wrong when the set was opened;
            their segments are void.
    """

    def __init__(self, images: Images, classes: tuple[ClassInfo, ...]) -> None:
        self.classes = classes
        self.image_ids, self.sizes = images.ids, images.sizes
        self.faulty = np.zeros(len(images.ids), bool)
        self._images, self._image_names = images.store, images.names

    def __len__(self) -> int:
        return len(self.image_ids)

    def read(self, index: int) -> tuple[Tensor, SegmentMap]:
        """Decodes one image and its segments.

        Args:
            index: position in the data set.

        Returns:
            The image ``[3, H, W]`` uint8 (RGB; a view of interleaved memory) and its segments
            ``[K, H, W]``. Crowds are kept.

        Raises:
            FileError: when a file is damaged or disagrees with the annotation.
        """
        return self.read_image(index), self.read_segments(index)

    def read_image(self, index: int) -> Tensor:
        """The image alone."""
        name = self._image_names[index].decode()
        image = decode_image(
            read_file(self._images, name, "unreadable image"),
            self.size(index),
            where=self._images.where(name),
            json_name=self.annotation_of(index),
        )
        return torch.from_numpy(image).permute(2, 0, 1)

    def stem(self, index: int) -> str:
        """The name of an image's file, without folders and ending."""
        return PurePosixPath(self._image_names[index].decode()).stem

    @abstractmethod
    def read_segments(self, index: int) -> SegmentMap:
        """The segments alone."""

    @abstractmethod
    def annotation_of(self, index: int) -> str:
        """How errors name the file that annotates an image."""

    def image_of(self, index: int) -> str:
        """How errors name an image's file."""
        return self._images.where(self._image_names[index].decode())

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of an image."""
        return int(self.sizes[index, 0]), int(self.sizes[index, 1])


def read_file(store: Store, name: str, kind: str) -> bytes:
    """A file's content; what keeps it from being read is a problem of that kind."""
    try:
        return store.read(name)
    except DataError as error:
        where = store.where(name)
        raise FileError(kind, where, str(error).removeprefix(f"{where}: ")) from error


def check_present(
    store: Store, wanted: np.ndarray, *, kind: str, listed_by: str, report: Report
) -> None:
    """Reports each of ``[N]`` bytes names that a store lacks."""
    there = np.array([name.encode() for name in store.names()], dtype=np.bytes_)
    missing = np.setdiff1d(wanted, there)
    for name in missing:
        what = (
            f"missing, one of {len(missing)} file(s) that {listed_by} lists and that are not "
            "there; fetch them, or cut the list to what is there."
        )
        report(FileError(kind, store.where(name.decode()), what))


def choose_annotated(
    images: Images, counts: np.ndarray, *, json_name: str, on_empty: str, report: Report
) -> np.ndarray:
    """Which images to keep, ``[N]`` bool, by the numbers of their segments.

    Args:
        images: all that the annotation file lists.
        counts: ``[N]``.
        json_name: how errors name the annotation file.
        on_empty: of ``ON_EMPTY``, what to do with images without segments: ``skip`` leaves them out
            with one warning, ``keep`` keeps them, ``error`` raises.
        report: unless it refuses, all are kept, since each is to be looked at.

    Raises:
        DataError: when nothing is left, or for ``error``.
    """
    empty = np.flatnonzero(counts == 0)
    keep = np.ones(len(counts), bool)
    if len(empty) and on_empty != "keep" and report is refuse:
        first = images.store.where(images.names[empty[0]].decode())
        text = f"{json_name}: {len(empty)} image(s) have no segments, the first is {first}"
        if on_empty == "error":
            advice = "annotate or remove them, or leave them out: on_empty='skip'"
            raise DataError(f"{text}; {advice}.")
        # Attributed to whoever opened the data set.
        warnings.warn(f"{text}; left out (on_empty='error' refuses them).", stacklevel=4)
        keep[empty] = False
    if report is refuse and not counts.any():
        raise DataError(f"{json_name}: lists no image with segments; nothing to read.")
    return keep


def void_map(size: tuple[int, int]) -> SegmentMap:
    """A map without segments."""
    return SegmentMap(
        ids=torch.full((1, *size), VOID, dtype=torch.int16),
        labels=torch.zeros(0, dtype=torch.int64),
        is_crowd=torch.zeros(0, dtype=torch.bool),
    )
