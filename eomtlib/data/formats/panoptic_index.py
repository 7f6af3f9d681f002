"""COCO's panoptic annotation file, checked entry by entry and kept as arrays."""

from __future__ import annotations

from array import array

import numpy as np
from msgspec import Raw

from eomtlib.data.decoding.json_lists import JsonLists
from eomtlib.data.decoding.names import plain_name
from eomtlib.data.decoding.problems import Report, refuse
from eomtlib.data.formats.coco_index import MAX_SEGMENTS, CocoIndex, EntryError, flag, whole


class PanopticIndex(CocoIndex):
    """A panoptic annotation file as arrays; arguments and errors as of ``CocoIndex``.

    Attributes:
        map_names: ``[N]`` bytes, the file names of the PNGs; empty for an image that has none.
        starts, counts: ``[N]``; segments of image i are ``[starts[i] : starts[i] + counts[i]]``
            of the following, in the file's order. An image that is not annotated has none.
        ids: ``[T]`` int32, segment ids as the PNG codes them.
        labels: ``[T]`` int32, positions in ``classes``.
        is_crowd: ``[T]`` bool.
    """

    def __init__(self, lists: JsonLists, report: Report = refuse) -> None:
        super().__init__(lists, report, things_by_default=False)
        self.starts = np.zeros(len(self.rows), np.int64)
        self.counts = np.zeros(len(self.rows), np.int32)
        self._map_names = [b""] * len(self.rows)
        # Arrays grow by numbers, where a list would grow by objects.
        self._segments = (array("i"), array("i"), array("b"))
        self._seen: set[int] = set()
        self.each("annotations", self._add_annotation)
        self.map_names = np.array(self._map_names, np.bytes_)
        self.ids, labels = (np.array(part, np.int32) for part in self._segments[:2])
        self.labels = self.settle_classes(labels).astype(np.int32)
        self.is_crowd = np.array(self._segments[2], bool)
        del self._segments, self._map_names, self._seen, self._lists, self.rows

    def _add_annotation(self, position: int, entry: dict, text: Raw) -> None:
        row = self.row_of(entry)
        if row in self._seen:
            raise EntryError("duplicate id", f"image_id {entry['image_id']} is annotated twice")
        self._seen.add(row)
        self.faulty[row] = True  # until it is found to be in order
        name = plain_name(str(entry["file_name"]), self.where)
        segments = entry["segments_info"]
        own = {whole(segment["id"]) for segment in segments}
        if len(own) != len(segments):
            raise EntryError("duplicate id", f"{name}: segment ids repeat")
        if len(own) > MAX_SEGMENTS:
            raise ValueError(f"{name}: has more than {MAX_SEGMENTS} segments")
        if own and not 0 < min(own) <= max(own) < 1 << 24:
            raise ValueError(f"{name}: segment ids must lie in 1 to 2^24 − 1 (0 is void)")
        classes = [whole(segment["category_id"]) for segment in segments]
        unknown = set(classes) - self.class_of.keys()
        if unknown:
            what = f"{name}: category_id {min(unknown)} is not among the categories"
            raise EntryError("unknown class", what)
        crowds = [flag(segment.get("iscrowd", 0)) for segment in segments]
        ids, labels, is_crowd = self._segments
        self.starts[row], self.counts[row] = len(ids), len(segments)
        ids.extend(whole(segment["id"]) for segment in segments)
        labels.extend(map(self.class_of.__getitem__, classes))
        is_crowd.extend(crowds)
        self._map_names[row] = name.encode()
        self.faulty[row] = False
