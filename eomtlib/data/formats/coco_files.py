"""Images that a COCO file annotates: with PNGs of segment ids, or with an outline for each object.

Both formats are described at https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable
from pathlib import PurePath

import msgspec
import numpy as np
import torch

from eomtlib.core.errors import DataError
from eomtlib.core.structures import VOID, SegmentMap
from eomtlib.data.dataset import FileDataset, name_checksums, names_in, read_file
from eomtlib.data.decoding.archives import Store
from eomtlib.data.decoding.json_lists import JsonLists
from eomtlib.data.decoding.problems import Report, looks_at_all, refuse
from eomtlib.data.decoding.segment_png import decode_segments
from eomtlib.data.formats.instance_index import InstanceIndex
from eomtlib.data.formats.outlines import lay_out, rasterise
from eomtlib.data.formats.panoptic_index import PanopticIndex


class _CocoFiles(FileDataset):
    """What both formats have in common: the images of an index, with or without the empty ones."""

    _per_image = (*FileDataset._per_image, "_rows", "_own_ids")

    def __init__(
        self,
        images: Store,
        index: PanopticIndex | InstanceIndex,
        annotations: bytes,
        *,
        on_empty: str,
        report: Report,
    ) -> None:
        kept = _chosen(images, index, on_empty, report)
        super().__init__(
            images,
            index.image_names[kept],
            image_ids=index.image_ids[kept],
            sizes=index.sizes[kept],
            classes=index.classes,
        )
        self.faulty = index.faulty[kept]
        self._own_ids = index.own_ids[kept]
        self._index, self._rows = index, kept
        self._checksum = zlib.crc32(annotations)
        self.notes = tuple(index.notes)
        self._image_names = self._names_in(images, self._image_names, "missing image", report)

    def source(self, index: int) -> tuple[int | str, str]:
        """As in ``SegmentationDataset``."""
        return msgspec.json.decode(self._own_ids[index]), super().source(index)[1]

    def annotation_of(self, index: int) -> str:
        """The JSON file."""
        return self._index.where

    def checksums(self) -> Iterable[tuple[str, int]]:
        """Of the JSON file."""
        return [(PurePath(self._index.where).name, self._checksum)]

    def _names_in(self, store: Store, names: np.ndarray, kind: str, report: Report) -> np.ndarray:
        where = self._index.where
        names, lacking = names_in(store, names, kind=kind, listed_by=where, report=report)
        self.faulty = self.faulty | lacking
        return names

    def _span(self, index: int) -> slice:
        """The image's segments among those of the annotation file."""
        row = self._rows[index]
        return slice(self._index.starts[row], self._index.starts[row] + self._index.counts[row])

    def _map(self, ids: np.ndarray, span: slice) -> SegmentMap:
        return SegmentMap(
            ids=torch.from_numpy(ids),
            labels=torch.from_numpy(self._index.labels[span].astype(np.int64)),
            is_crowd=torch.from_numpy(self._index.is_crowd[span].copy()),
        )


class PanopticFiles(_CocoFiles):
    """Images with segments that do not overlap (Kirillov et al., Panoptic Segmentation, CVPR 2019).

    Args:
        images: files of the images.
        annotations: the JSON file, whole.
        maps: files of the PNGs.
        json_name: how errors name the JSON file.
        on_empty: what to do with images that have no segment at all, of which full COCO has a
            few: ``skip`` leaves them out with one warning, ``keep`` keeps them.
        report: is given what is found to be wrong before anything is read.

    Raises:
        DataError: when the annotation file cannot be used.
    """

    _per_image = (*_CocoFiles._per_image, "_map_names")

    def __init__(
        self,
        images: Store,
        annotations: bytes,
        maps: Store,
        *,
        json_name: str,
        on_empty: str = "skip",
        report: Report = refuse,
    ) -> None:
        index = PanopticIndex(JsonLists(annotations, json_name), report)
        super().__init__(images, index, annotations, on_empty=on_empty, report=report)
        self._maps = maps
        listed = index.map_names[self._rows]
        self._map_names = self._names_in(maps, listed, "missing mask", report)

    def checksums(self) -> Iterable[tuple[str, int]]:
        """Of the JSON file and the PNGs."""
        names = self._map_names[self._map_names != b""]
        return [*super().checksums(), *name_checksums(self._maps, names)]

    def read_segments(self, index: int) -> SegmentMap:
        """The segments ``[1, H, W]``, in the order of the annotation file."""
        name, span = self._map_names[index].decode(), self._span(index)
        if not name:
            return self._map(np.full((1, *self.size(index)), VOID, np.int16), span)
        ids = decode_segments(
            read_file(self._maps, name, "unreadable mask"),
            self.size(index),
            self._index.ids[span],
            where=self._maps.where(name),
            json_name=self._index.where,
        )
        return self._map(ids[None], span)


class InstanceFiles(_CocoFiles):
    """Images with objects that may overlap: each whole, in as few layers as first fit gives.

    Args:
        images: files of the images.
        annotations: the JSON file, whole.
        json_name: how errors name the JSON file.
        on_empty: as of ``PanopticFiles``.
        report: likewise.

    Raises:
        DataError: when the annotation file cannot be used.
    """

    def __init__(
        self,
        images: Store,
        annotations: bytes,
        *,
        json_name: str,
        on_empty: str = "skip",
        report: Report = refuse,
    ) -> None:
        index = InstanceIndex(JsonLists(annotations, json_name), report)
        super().__init__(images, index, annotations, on_empty=on_empty, report=report)

    def read_segments(self, index: int) -> SegmentMap:
        """The segments ``[K, H, W]``, in the order of the annotation file, exactly pycocotools'."""
        size, span = self.size(index), self._span(index)
        outlines = map(self._index.outline, range(span.start, span.stop))
        return self._map(lay_out((rasterise(outline, size) for outline in outlines), size), span)


def _chosen(
    images: Store, index: PanopticIndex | InstanceIndex, on_empty: str, report: Report
) -> np.ndarray:
    """The rows of the images to keep: all for whoever looks at each of them (``looks_at_all``)."""
    keep = np.ones(len(index.counts), bool)
    # Of which something is wrong are another matter.
    empty = np.flatnonzero((index.counts == 0) & ~index.faulty)
    if len(empty) and on_empty != "keep" and not looks_at_all(report):
        first = images.where(index.image_names[empty[0]].decode())
        # Attributed to whoever opened the data set.
        warnings.warn(
            f"{index.where}: {len(empty)} image(s) have no segments, the first is {first}; left "
            "out.",
            stacklevel=5,
        )
        keep[empty] = False
    if report is refuse and not index.counts.any():
        raise DataError(f"{index.where}: lists no image with segments; nothing to read.")
    return np.flatnonzero(keep)
