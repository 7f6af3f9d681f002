"""COCO's panoptic annotation file, checked entry by entry and kept as arrays."""

from __future__ import annotations

import json

import numpy as np

from eomtlib.data.archives import check_name
from eomtlib.errors import DataError
from eomtlib.structures import ClassInfo

_MAX_SEGMENTS = np.iinfo(np.int16).max
_MAX_SIDE = 65535


def _parse(text: bytes, where: str) -> dict:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: is no valid JSON ({error}); fetch it again.") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(
                f"{where}: has no list {key!r}; this is not COCO's panoptic format "
                "(https://cocodataset.org/#format-data)."
            )
    return content


class AnnotationIndex:
    """The annotation file as arrays: 118,000 images as Python objects would be copied to workers.

    Args:
        text: the JSON file.
        where: how error messages name it.

    Attributes:
        classes: in the file's order.
        image_ids: ``[N]`` int64.
        sizes: ``[N, 2]`` int32, height and width.
        image_names, map_names: ``[N]`` bytes, the file names of JPEG and PNG.
        starts, counts: ``[N]``; segments of image i are ``[starts[i] : starts[i] + counts[i]]``
            of the following, in the file's order. An image that is not annotated has none.
        ids: ``[T]`` int32, segment ids as the PNG codes them.
        labels: ``[T]`` int32, positions in ``classes``.
        is_crowd: ``[T]`` bool.

    Raises:
        DataError: naming the file and the entry that cannot be used.
    """

    def __init__(self, text: bytes, where: str) -> None:
        content = _parse(text, where)
        self.where = where
        self.classes = self._read_classes(content["categories"])
        rows = self._read_images(content["images"])
        self._read_annotations(content["annotations"], rows)

    def _fail(self, part: str, position: int, problem: object) -> DataError:
        return DataError(
            f"{self.where}: {part}[{position}]: {problem}; correct the entry or fetch the file "
            "again."
        )

    def _read_classes(self, entries: list) -> tuple[ClassInfo, ...]:
        classes: dict[int, ClassInfo] = {}
        for position, entry in enumerate(entries):
            try:
                info = ClassInfo(str(entry["name"]), bool(entry["isthing"]), int(entry["id"]))
            except (KeyError, TypeError, ValueError) as error:
                raise self._fail("categories", position, _problem(error)) from error
            if info.category_id in classes:
                raise self._fail("categories", position, f"id {info.category_id} comes twice")
            classes[info.category_id] = info
        return tuple(classes.values())

    def _read_images(self, entries: list) -> dict[int, int]:
        names, sizes, rows = [], [], {}
        for position, entry in enumerate(entries):
            try:
                image_id = int(entry["id"])
                size = (int(entry["height"]), int(entry["width"]))
                name = check_name(str(entry["file_name"]), self.where)
                if not 0 < min(size) <= max(size) <= _MAX_SIDE or abs(image_id) >> 63:
                    raise ValueError(f"id {image_id}, height × width {size[0]} × {size[1]}")
            except (KeyError, TypeError, ValueError) as error:
                raise self._fail("images", position, _problem(error)) from error
            if image_id in rows:
                raise self._fail("images", position, f"id {image_id} comes twice")
            rows[image_id] = position
            names.append(name.encode())
            sizes.append(size)
        self.image_ids = np.array(list(rows), dtype=np.int64)
        self.sizes = np.array(sizes, dtype=np.int32).reshape(-1, 2)
        self.image_names = np.array(names, dtype=np.bytes_)
        return rows

    def _read_annotations(self, entries: list, rows: dict[int, int]) -> None:
        index_of = {info.category_id: index for index, info in enumerate(self.classes)}
        self.starts = np.zeros(len(rows), np.int64)
        self.counts = np.zeros(len(rows), np.int32)
        map_names = [b""] * len(rows)
        ids: list[int] = []
        labels: list[int] = []
        is_crowd: list[bool] = []
        seen: set[int] = set()
        for position, entry in enumerate(entries):
            try:
                row = rows.get(entry["image_id"])
                name = check_name(str(entry["file_name"]), self.where)
                segments = entry["segments_info"]
                own = {int(segment["id"]) for segment in segments}
                if row is None:
                    raise ValueError(f"image_id {entry['image_id']!r} is not among the images")
                if row in seen:
                    raise ValueError(f"image_id {entry['image_id']} is annotated twice")
                if len(own) != len(segments) or len(own) > _MAX_SEGMENTS:
                    raise ValueError(f"{name}: segment ids repeat, or are too many")
                if own and not 0 < min(own) <= max(own) < 1 << 24:
                    raise ValueError(f"{name}: segment ids must lie in 1 to 2^24 − 1 (0 is void)")
                unknown = {segment["category_id"] for segment in segments} - index_of.keys()
                if unknown:
                    raise ValueError(
                        f"{name}: category_id {min(unknown)} is not among the categories"
                    )
                ids.extend(int(segment["id"]) for segment in segments)
                labels.extend(index_of[segment["category_id"]] for segment in segments)
                is_crowd.extend(bool(segment.get("iscrowd", 0)) for segment in segments)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise self._fail("annotations", position, _problem(error)) from error
            seen.add(row)
            map_names[row] = name.encode()
            self.starts[row], self.counts[row] = len(ids) - len(own), len(own)
        self.map_names = np.array(map_names, dtype=np.bytes_)
        self.ids = np.array(ids, dtype=np.int32)
        self.labels = np.array(labels, dtype=np.int32)
        self.is_crowd = np.array(is_crowd, dtype=bool)


def _problem(error: Exception) -> str:
    return f"lacks the field {error}" if isinstance(error, KeyError) else str(error)
