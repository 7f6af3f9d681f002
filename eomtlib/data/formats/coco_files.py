"""Images that a COCO file annotates: with PNGs of segment ids, or with an outline for each object.

Both formats are described at https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import numpy as np
import torch

from eomtlib.core.structures import SegmentMap
from eomtlib.data.dataset import (
    FileDataset,
    Images,
    check_present,
    choose_annotated,
    read_file,
    void_map,
)
from eomtlib.data.decoding.archives import Store
from eomtlib.data.decoding.json_lists import JsonLists
from eomtlib.data.decoding.problems import Report, refuse
from eomtlib.data.decoding.segment_png import decode_segments
from eomtlib.data.formats.instance_index import InstanceIndex
from eomtlib.data.formats.outlines import lay_out, rasterise
from eomtlib.data.formats.panoptic_index import PanopticIndex


class PanopticFiles(FileDataset):
    """Images with segments that do not overlap (Kirillov et al., Panoptic Segmentation, CVPR 2019).

    Args:
        images: files of the images.
        annotations: the JSON file, whole.
        maps: files of the PNGs.
        json_name: how errors name the JSON file.
        on_empty: what to do with images that have no segment at all, of which full COCO has a
            few: ``skip`` leaves them out with one warning, ``keep`` keeps them, ``error`` raises.
        report: is given what is found to be wrong before anything is read.

    Raises:
        DataError: when the annotation file cannot be used.
    """

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
        listed = Images(images, index.image_names, index.image_ids, index.sizes)
        keep = choose_annotated(
            listed, index.counts, json_name=json_name, on_empty=on_empty, report=report
        )
        super().__init__(listed.chosen(keep), index.classes)
        self.faulty = index.faulty[keep]
        self._json_name, self._maps, self._map_names = json_name, maps, index.map_names[keep]
        self._starts, self._counts = index.starts[keep], index.counts[keep]
        self._ids, self._labels, self._is_crowd = index.ids, index.labels, index.is_crowd
        wanted = self._map_names[self._map_names != b""]
        for store, names, kind in (
            (images, self._image_names, "missing image"),
            (maps, wanted, "missing mask"),
        ):
            check_present(store, names, kind=kind, listed_by=json_name, report=report)

    def read_segments(self, index: int) -> SegmentMap:
        """The segments ``[1, H, W]``, in the order of the annotation file."""
        name = self._map_names[index].decode()
        if not name:
            return void_map(self.size(index))
        span = slice(self._starts[index], self._starts[index] + self._counts[index])
        ids = decode_segments(
            read_file(self._maps, name, "unreadable mask"),
            self.size(index),
            self._ids[span],
            where=self._maps.where(name),
            json_name=self._json_name,
        )
        return SegmentMap(
            ids=torch.from_numpy(ids)[None],
            labels=torch.from_numpy(self._labels[span].astype(np.int64)),
            is_crowd=torch.from_numpy(self._is_crowd[span].copy()),
        )

    def annotation_of(self, index: int) -> str:
        """The JSON file."""
        return self._json_name


class InstanceFiles(FileDataset):
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
        listed = Images(images, index.image_names, index.image_ids, index.sizes)
        keep = choose_annotated(
            listed, index.counts, json_name=json_name, on_empty=on_empty, report=report
        )
        super().__init__(listed.chosen(keep), index.classes)
        self.faulty = index.faulty[keep]
        self._json_name, self._index = json_name, index
        self._starts, self._counts = index.starts[keep], index.counts[keep]
        check_present(
            images, self._image_names, kind="missing image", listed_by=json_name, report=report
        )

    def read_segments(self, index: int) -> SegmentMap:
        """The segments ``[K, H, W]``, in the order of the annotation file, exactly pycocotools'."""
        size = self.size(index)
        span = range(self._starts[index], self._starts[index] + self._counts[index])
        ids = lay_out((rasterise(self._index.outline(k), size) for k in span), size)
        own = slice(span.start, span.stop)
        return SegmentMap(
            ids=torch.from_numpy(ids),
            labels=torch.from_numpy(self._index.labels[own].astype(np.int64)),
            is_crowd=torch.from_numpy(self._index.is_crowd[own].copy()),
        )

    def annotation_of(self, index: int) -> str:
        """The JSON file."""
        return self._json_name
