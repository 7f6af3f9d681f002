"""Predictions of any program, read from the files that the data sets' own tools score.

What ``official_files`` writes, and everybody else's in COCO's formats for results: panoptic JSON
with its folder of PNGs, a JSON list of instances; for semantic a folder of PNGs of category ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np
import torch
from pycocotools import mask as coco_mask

from eomtlib.core.errors import DataError
from eomtlib.core.run_lengths import RunLengths
from eomtlib.core.structures import ClassInfo
from eomtlib.data.decoding.image_files import open_image
from eomtlib.data.decoding.names import files_below, plain_name
from eomtlib.data.decoding.segment_png import decode_segments
from eomtlib.data.formats.instance_index import as_polygons, check_outline

_NAMES = {"panoptic": "panoptic.json", "instance": "instances.json", "semantic": "semantic"}


class _Segment(msgspec.Struct):
    id: int
    category_id: int
    score: float | None = None


class _Panoptic(msgspec.Struct):
    image_id: int | str
    file_name: str
    segments_info: list[_Segment]


class _Instance(msgspec.Struct):
    image_id: int | str
    category_id: int
    segmentation: Any
    score: float


def find_predictions(path: str | Path) -> tuple[str, Path] | None:
    """The task that a path holds predictions for, and the JSON file, or the folder of PNGs.

    Args:
        path: such a file or folder; or a folder that ``predict`` or ``evaluate`` has written.

    Returns:
        None where it holds none.
    """
    path = Path(path).expanduser()
    for folder in (path, path / "segments"):
        for task, name in _NAMES.items():
            if (folder / name).exists():
                return task, folder / name
    if path.suffix.lower() == ".json" and path.is_file():
        return ("panoptic" if b'"segments_info"' in path.read_bytes() else "instance"), path
    is_model = any((path / name).exists() for name in ("config.json", "model"))
    if is_model or not path.is_dir():
        return None
    pngs = (name for name in files_below(path) if name.lower().endswith(".png"))
    return ("semantic", path) if any(pngs) else None


class PredictionFiles:
    """The predictions of one program.

    Args:
        task: that they are of.
        path: as ``find_predictions`` finds it.
        classes: of the data set, whose ``category_id`` the files have.

    Raises:
        DataError: when a file is not of its format, or has another class.
    """

    def __init__(self, task: str, path: Path, *, classes: Sequence[ClassInfo]) -> None:
        self._path, self._read = path, getattr(self, f"_{task}")
        self._index = {info.category_id: place for place, info in enumerate(classes)}
        self._by_image: dict[Any, Any] = {}
        if task == "panoptic":
            for own in _decoded(path, _Panoptic):
                self._by_image[own.image_id] = own
        elif task == "instance":
            for own in _decoded(path, _Instance):
                self._by_image.setdefault(own.image_id, []).append(own)
        else:
            pngs = [name for name in files_below(path) if name.lower().endswith(".png")]
            self._by_image = {str(PurePosixPath(name).with_suffix("")): name for name in pngs}

    def segmented(self, source: tuple[int | str, str], size: tuple[int, int]) -> Any:
        """What is predicted for an image, as the task's post-processing gives it.

        Args:
            source: its id and file name, as the data set's ``source`` gives them.
            size: height and width.

        Raises:
            DataError: when there is nothing for the image, or it cannot be used.
        """
        return self._read(*source, size)

    def _panoptic(self, image_id: int | str, _: str, size: tuple[int, int]) -> Mapping[str, Any]:
        if image_id not in self._by_image:
            raise DataError(f"{self._path}: has no entry for image {image_id!r}; predict it too.")
        own = self._by_image[image_id]
        path = self._path.with_suffix("") / plain_name(own.file_name, self._path)
        known = np.array([segment.id for segment in own.segments_info], np.int64)
        if len(np.unique(known)) < len(known) or (known < 1).any() or (known >= 1 << 24).any():
            raise DataError(
                f"{self._path}: the segments of image {image_id!r} must have ids of their own from "
                "1 to 16777215, as their colours code."
            )
        ids = decode_segments(
            _content(path), size, known, where=str(path), json_name=str(self._path)
        )
        infos = [
            {"id": place, "label_id": self._class(s.category_id)}
            | ({} if s.score is None else {"score": s.score})
            for place, s in enumerate(own.segments_info)
        ]
        return {"segmentation": torch.from_numpy(ids), "segments_info": infos}

    def _instance(self, image_id: int | str, _: str, size: tuple[int, int]) -> Mapping[str, Any]:
        counts, infos = [], []
        for own in self._by_image.get(image_id, []):
            outline = as_polygons(own.segmentation)
            try:
                check_outline(outline, size)
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{self._path}: a mask of image {image_id!r}: {error}.") from error
            if isinstance(outline, list):
                outline = coco_mask.merge(coco_mask.frPyObjects(outline, *size))
            elif isinstance(outline["counts"], list):
                outline = coco_mask.frPyObjects(outline, *size)
            text = outline["counts"]
            counts.append(text.encode() if isinstance(text, str) else text)
            infos.append({"label_id": self._class(own.category_id), "score": own.score})
        return {"segmentation": RunLengths(size, counts), "segments_info": infos}

    def _semantic(self, _: int | str, file_name: str, size: tuple[int, int]) -> torch.Tensor:
        stem = PurePosixPath(file_name).with_suffix("")
        name = self._by_image.get(str(stem)) or self._by_image.get(stem.name)
        if name is None:
            raise DataError(f"{self._path}: has no PNG for {file_name}; predict it too.")
        path = self._path / name
        picture = open_image(_content(path), size=size, where=str(path), json_name=file_name)
        if picture.mode not in ("L", "P", "I;16"):
            raise DataError(f"{path}: is of mode {picture.mode}; write grey category ids.")
        values, inverse = np.unique(np.asarray(picture).astype(np.int64), return_inverse=True)
        classes = np.array([self._class(value, path) for value in values.tolist()], np.int64)
        return torch.from_numpy(classes[inverse].reshape(size))

    def _class(self, category_id: int, where: Path | None = None) -> int:
        if category_id not in self._index:
            raise DataError(
                f"{where or self._path}: category_id {category_id} is none of the data set's; they "
                f"begin {', '.join(map(str, list(self._index)[:5]))}."
            )
        return self._index[category_id]


def _decoded(path: Path, kind: type[Any]) -> list[Any]:
    """The entries of a list, or of the ``annotations`` of an object."""
    try:
        content = msgspec.json.decode(_content(path))
        entries = content["annotations"] if isinstance(content, dict) else content
        return msgspec.convert(entries, list[kind])
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError, RecursionError) as error:
        raise DataError(f"{path}: is no file of COCO's results ({error}).") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
