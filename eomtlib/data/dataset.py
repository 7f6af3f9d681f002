"""What a data set is to the rest of the library, and what all that are read from files share."""

from __future__ import annotations

import hashlib
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import torch
from torch import Tensor

from eomtlib.core.errors import DataError
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.data.decoding.archives import Store
from eomtlib.data.decoding.image_files import image_pixels
from eomtlib.data.decoding.names import as_spelled
from eomtlib.data.decoding.problems import FileError, Report

MAX_SIDE = 65535
"""Of an image, in pixels."""


class SegmentationDataset(Protocol):
    """What the loaders and the evaluation need of a data set, whatever its task.

    Attributes:
        classes: in the order of the class indices.
        image_ids: ``[N]`` int64, as the annotation file gives them, if all are numbers.
        sizes: ``[N, 2]`` int32, height and width.
        skipped: how many images are left out, for what is wrong with them.
    """

    classes: tuple[ClassInfo, ...]
    image_ids: np.ndarray
    sizes: np.ndarray
    skipped: int

    def __len__(self) -> int: ...

    def read(self, index: int) -> tuple[Tensor, SegmentMap]:
        """The image ``[3, H, W]`` uint8 and its segments ``[K, H, W]``, both at full size."""

    def source(self, index: int) -> tuple[int | str, str]:
        """The id that an annotation file gives an image, and the name of its file, with folders."""

    def digest(self) -> str:
        """16 hexadecimal digits of what it holds, the same for every copy of it."""


class FileDataset(ABC):
    """A data set in files.

    Args:
        images: files of the images.
        names: ``[N]`` bytes, of those that there are to read.
        classes, image_ids, sizes: as in ``SegmentationDataset``.

    Attributes:
        classes, image_ids, sizes: as above.
        faulty: ``[N]`` bool, images of which something was reported as wrong when the set was
            opened; their segments are void.
        skipped: as above.
        notes: what is odd, and was put in order.
        upright: whether images are turned as their EXIF data say.
    """

    notes: tuple[str, ...] = ()
    upright = False
    skipped = 0
    _per_image: tuple[str, ...] = ("image_ids", "sizes", "faulty", "_image_names")

    def __init__(
        self,
        images: Store,
        names: np.ndarray,
        *,
        image_ids: np.ndarray,
        sizes: np.ndarray,
        classes: tuple[ClassInfo, ...],
    ) -> None:
        self.classes, self.image_ids, self.sizes = classes, image_ids, sizes
        self.faulty = np.zeros(len(image_ids), bool)
        self._images, self._image_names = images, names

    def __len__(self) -> int:
        return len(self.image_ids)

    def keep(self, kept: np.ndarray) -> None:
        """Leaves out all images but those at ``[M]`` positions."""
        self.skipped += len(self) - len(kept)
        for name in self._per_image:
            setattr(self, name, getattr(self, name)[kept])

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
        return self.decode_image(self.image_file(index), index)

    def image_file(self, index: int) -> bytes:
        """The content of an image's file."""
        return read_file(self._images, self._image_names[index].decode(), "unreadable image")

    def decode_image(self, content: bytes, index: int) -> Tensor:
        """``read_image`` of a file that was read."""
        image = image_pixels(
            content,
            upright=self.upright,
            size=self.size(index),
            where=self.image_of(index),
            json_name=self.annotation_of(index),
        )
        return torch.from_numpy(image).permute(2, 0, 1)

    def source(self, index: int) -> tuple[int | str, str]:
        """As in ``SegmentationDataset``; the id is the image's number where no file gives one."""
        return int(self.image_ids[index]), self._image_names[index].decode()

    def digest(self) -> str:
        """16 hexadecimal digits of what it holds, the same for every copy of it.

        Of classes their names, ids and whether they are things; of annotations name and content; of
        images name, length, and whether they are turned upright.
        """
        names = [name.decode() for name in self._image_names.tolist()]
        lengths = self._images.lengths(names).tolist()
        content = {
            "classes": [(info.name, info.is_thing, info.category_id) for info in self.classes],
            "images": [(_composed(name), size) for name, size in zip(names, lengths, strict=True)],
            "annotations": [(_composed(name), value) for name, value in self.checksums()],
            "upright": self.upright,
        }
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:16]

    def image_checksums(self) -> np.ndarray:
        """``[N]`` int64, the CRC-32 of each image's file; the first time every file is read."""
        return self._images.checksums([name.decode() for name in self._image_names.tolist()])

    @abstractmethod
    def checksums(self) -> Iterable[tuple[str, int]]:
        """Name and CRC-32 of each file that annotates images."""

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


def read_file(store: Store, name: str, kind: str, *, count: int = 0) -> bytes:
    """A file's content, or the first bytes of it.

    Raises:
        FileError: of that kind, for whatever keeps it from being read.
    """
    try:
        return store.head(name, count) if count else store.read(name)
    except DataError as error:
        where = store.where(name)
        raise FileError(kind, where, str(error).removeprefix(f"{where}: ")) from error


def name_checksums(store: Store, names: np.ndarray) -> Iterable[tuple[str, int]]:
    """``[N]`` bytes names of files in a store, each with its CRC-32."""
    listed = [name.decode() for name in names.tolist()]
    return zip(listed, store.checksums(listed).tolist(), strict=True)


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def names_in(
    store: Store, listed: np.ndarray, *, kind: str, listed_by: str, report: Report
) -> tuple[np.ndarray, np.ndarray]:
    """``[N]`` bytes names as a store spells them, and ``[N]`` bool, whether it lacks one.

    It is reported where it does; an empty name is of no file, and none that is lacking.
    """
    names = store.names()
    there = np.array([name.encode() for name in names], dtype=np.bytes_)
    spelled = as_spelled([name.decode() for name in listed.tolist()], names)
    found = np.array([name.encode() for name in spelled], dtype=np.bytes_)
    lacking = ~np.isin(found, there) & (found != b"")
    missing = np.unique(found[lacking])
    beside = Path(f"{store.where('').rstrip('/')}.zip")
    archive = f", or remove the folder to have {beside} read" if beside.is_file() else ""
    for name in missing:
        what = (
            f"missing, one of {len(missing)} file(s) that {listed_by} lists and that are not "
            f"there; fetch them, or cut the list to what is there{archive}."
        )
        report(FileError(kind, store.where(name.decode()), what))
    return found, lacking
