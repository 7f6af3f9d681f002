"""Images with PNGs whose values are class numbers: semantic targets, a segment for each class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
import torch

from eomtlib.core.errors import DataError
from eomtlib.core.structures import VOID, ClassInfo, SegmentMap
from eomtlib.data.dataset import MAX_SIDE, FileDataset, name_checksums, read_file
from eomtlib.data.decoding.archives import Store
from eomtlib.data.decoding.image_files import SUFFIXES, open_image
from eomtlib.data.decoding.problems import FileError, Report, refuse

_HEADER_BYTES = 26
_HEADER = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_GREY, _GREY_WITH_ALPHA = 0, 4
_UNKNOWN = VOID - 1


class MaskFiles(FileDataset):
    """Images and, under the same name but for its end, PNGs of class numbers.

    Image ids are positions in the sorted names. A PNG may be grey, with alpha or without, or have a
    palette: its stored numbers count, of 1 to 16 bits.

    Args:
        images: files of the images; files with other endings than images have are passed over.
        masks: files of the PNGs.
        classes: in the order of the class indices.
        values: PNG value → class index, or ``VOID``. Any other value is an error.
        image_suffix: what the images' names end in after what they share with their PNGs; empty
            for any of ``SUFFIXES``.
        mask_suffix: what the PNGs' names end in; files with other ends are passed over.
        report: is given what is found to be wrong before anything is read.

    Raises:
        DataError: when there is no image with a PNG.
    """

    _per_image = (*FileDataset._per_image, "_mask_names", "_bits")

    def __init__(
        self,
        images: Store,
        masks: Store,
        *,
        classes: tuple[ClassInfo, ...],
        values: Mapping[int, int],
        image_suffix: str = "",
        mask_suffix: str = ".png",
        report: Report = refuse,
    ) -> None:
        pairs = _pairs(images, masks, image_suffix, mask_suffix, report)
        kept, sizes, bits = [], [], []
        for pair in pairs:
            try:
                size, depth = _png_header(masks, pair[1])
            except FileError as error:
                report(error)
                continue
            kept.append(pair)
            sizes.append(size)
            bits.append(depth)
        if not kept and report is refuse:
            raise DataError(f"{images.where('')}: there is no image in it with a mask.")
        names = np.array([image.encode() for image, _ in kept], np.bytes_)
        super().__init__(
            images,
            names,
            image_ids=np.arange(len(kept)),
            sizes=np.array(sizes, np.int32).reshape(-1, 2),
            classes=classes,
        )
        self._masks = masks
        self._mask_names = np.array([mask.encode() for _, mask in kept], np.bytes_)
        self._bits = np.array(bits, np.uint8)
        self._table = np.full(1 << 16, _UNKNOWN, np.int16)
        for value, index in values.items():
            self._table[value] = index

    def read_segments(self, index: int) -> SegmentMap:
        """The classes that occur, as segments ``[1, H, W]``, in the order of the classes."""
        values = self.read_classes(index)
        return by_class(values, len(self.classes))

    def read_classes(self, index: int) -> np.ndarray:
        """The class indices of an image's PNG, ``[H, W]`` int16, −1 for void.

        Raises:
            FileError: for a damaged file, one of another size or in colour, or for values that
                stand for nothing.
        """
        values = self.read_values(self._masks, index, modes=("1", "L", "LA", "P", "I;16"))
        if values.ndim == 3:  # with alpha
            values = values[..., 0]
        # Pillow spreads grey of fewer bits over 0 to 255.
        return self.to_classes(values // (255 // (2 ** int(self._bits[index]) - 1)), index)

    def read_values(self, store: Store, index: int, *, modes: Sequence[str]) -> np.ndarray:
        """The PNG of an image in a store, ``[H, W]`` or ``[H, W, C]``.

        Raises:
            FileError: for a damaged file, or one of another size or mode.
        """
        name = self._mask_names[index].decode()
        where = store.where(name)
        picture = open_image(
            read_file(store, name, "unreadable mask"),
            size=self.size(index),
            where=where,
            json_name=self.annotation_of(index),
            kind="unreadable mask",
        )
        if picture.mode not in modes:
            what = f"is a PNG of mode {picture.mode}; it must be one of {', '.join(modes)}."
            if "L" in modes:
                what += " Masks hold numbers of classes: write for each colour its class's id."
            raise FileError("unreadable mask", where, what)
        # Of one bit, as of few: 255 for 1.
        return np.asarray(picture.convert("L") if picture.mode == "1" else picture)

    def to_classes(self, values: np.ndarray, index: int) -> np.ndarray:
        """PNG values ``[H, W]`` as class indices int16, −1 for void.

        Raises:
            FileError: for values that stand for nothing.
        """
        found = np.flatnonzero(np.bincount(values.ravel()))
        strange = found[self._table[found] == _UNKNOWN]
        if len(strange):
            numbers = ", ".join(map(str, strange[:5].tolist()))
            what = f"holds {len(strange)} value(s) that stand for no class and not for void: "
            raise FileError("unknown id", self.annotation_of(index), f"{what}{numbers}.")
        return self._table[values]

    def checksums(self) -> Iterable[tuple[str, int]]:
        """Of the PNGs."""
        return name_checksums(self._masks, self._mask_names)

    def annotation_of(self, index: int) -> str:
        """The PNG."""
        return self._masks.where(self._mask_names[index].decode())


def by_class(classes: np.ndarray, num_classes: int) -> SegmentMap:
    """A map of class indices, ``[H, W]`` int16 with −1 for void, as a segment for each class."""
    shown = np.bincount(classes.ravel() + 1, minlength=num_classes + 1)[1:] > 0
    numbers = np.full(num_classes + 1, VOID, np.int16)
    numbers[1:][shown] = np.arange(np.count_nonzero(shown))
    labels = np.flatnonzero(shown)
    return SegmentMap(
        ids=torch.from_numpy(numbers[classes + 1])[None],
        labels=torch.from_numpy(labels),
        is_crowd=torch.zeros(len(labels), dtype=torch.bool),
    )


def _pairs(
    images: Store, masks: Store, image_suffix: str, mask_suffix: str, report: Report
) -> list[tuple[str, str]]:
    """Names of images and of their masks, sorted."""
    image_names = _by_stem(images, (image_suffix,) if image_suffix else SUFFIXES, report)
    mask_names = _by_stem(masks, (mask_suffix,), report)
    for stem in sorted(image_names.keys() - mask_names.keys()):
        what = f"missing, and {images.where(image_names[stem])} needs it; fetch it or make it."
        report(FileError("missing mask", masks.where(stem + mask_suffix), what))
    for stem in sorted(mask_names.keys() - image_names.keys()):
        what = f"missing, and {masks.where(mask_names[stem])} is for it; fetch it."
        report(FileError("missing image", images.where(stem + (image_suffix or ".jpg")), what))
    shared = sorted(image_names.keys() & mask_names.keys())
    return [(image_names[stem], mask_names[stem]) for stem in shared]


def _by_stem(store: Store, suffixes: tuple[str, ...], report: Report) -> dict[str, str]:
    """Names by what stands in front of their suffix; hidden and other files are passed over."""
    found: dict[str, str] = {}
    for name in store.names():
        suffix = next((end for end in suffixes if name.lower().endswith(end.lower())), None)
        if suffix is None or PurePosixPath(name).name.startswith("."):
            continue
        other = found.setdefault(name[: -len(suffix)], name)
        if other != name:
            what = f"has the name of {other} but for its end; rename one of them."
            report(FileError("duplicate id", store.where(name), what))
    return found


def _png_header(store: Store, name: str) -> tuple[tuple[int, int], int]:
    """Height and width as a PNG's first bytes give them, and the bits of grey, at most 8."""
    head = read_file(store, name, "unreadable mask", count=_HEADER_BYTES)
    width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
    sound = head.startswith(_HEADER) and len(head) == _HEADER_BYTES
    if not sound or not 0 < min(width, height) <= max(width, height) <= MAX_SIDE:
        what = f"is no PNG of at most {MAX_SIDE} pixels a side; fetch it again."
        raise FileError("unreadable mask", store.where(name), what)
    bits, kind = head[24:]
    if kind == _GREY_WITH_ALPHA and bits == 16:  # which Pillow cuts to 8
        raise FileError("unreadable mask", store.where(name), "has alpha at 16 bits; leave it out.")
    return (height, width), min(bits, 8) if kind == _GREY else 8
