"""Segmentations as files that the data sets' own tools score, written image by image.

COCO's panoptic and instance results: https://cocodataset.org/#format-results. Semantic maps hold
category ids, as the tools of ADE20K and Cityscapes read them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from eomtlib.core.atomic_files import new_folder
from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.run_lengths import RunLengths
from eomtlib.core.structures import ClassInfo

Add = Callable[[Any, int], None]
"""Given the segmentation of an image, as the task's post-processing gives it, and its id."""

_Entry = dict[str, Any]
_MAX_INDEX = np.iinfo(np.uint16).max


@contextmanager
def exporting(
    folder: str | Path,
    *,
    task: str,
    classes: Sequence[ClassInfo],
    name_of: Callable[[int], str] = "{:012d}".format,
) -> Iterator[Add]:
    """A folder of results: with ``exporting(…) as export`` call ``evaluate(…, export=export)``.

    The folder is there once everything is in it; if anything goes wrong, it is not. In it are

    - for ``panoptic``: ``panoptic.json`` and, of each image, ``panoptic/NAME.png`` with
      id = R + 256 G + 65536 B, 0 where nothing is
    - for ``instance``: ``instances.json``, masks as compressed run lengths
    - for ``semantic``: of each image ``semantic/NAME.png``, in each pixel the ``category_id``, 8
      bits, or 16 where the ids need them

    Args:
        folder: a new one.
        task: ``panoptic``, ``instance`` or ``semantic``.
        classes: of the data set, whose ``category_id`` is what is written.
        name_of: an image's id → the name of its PNG, without the ending; COCO's by default.

    Yields:
        A function that adds an image.

    Raises:
        ConfigurationError: when the folder exists, for an unknown task, or for category ids that
            the format cannot hold.
    """
    write, json_name, head, tail = _FORMATS[check_choice("task", task, _FORMATS)]
    ids = np.array([info.category_id for info in classes], np.int64)
    if task == "semantic" and len(ids) and not 0 <= ids.min() <= ids.max() <= _MAX_INDEX:
        raise ConfigurationError(
            f"classes: category ids lie between {ids.min()} and {ids.max()}, but a semantic PNG "
            f"holds 0 to {_MAX_INDEX}."
        )
    lines: list[str] = []  # of the JSON file

    def add(segmented: Any, image_id: int) -> None:
        path = inside / task / f"{name_of(image_id)}.png"
        lines.extend(json.dumps({"image_id": image_id} | e) for e in write(segmented, ids, path))

    with new_folder(Path(folder)) as inside:
        if task != "instance":
            (inside / task).mkdir()
        yield add
        if json_name:
            (inside / json_name).write_text(head + ",\n".join(lines) + tail, encoding="utf-8")


def _panoptic(segmented: Mapping[str, Any], ids: np.ndarray, path: Path) -> Iterator[_Entry]:
    segment_ids = segmented["segmentation"].cpu().numpy() + 1
    colours = np.stack([segment_ids >> shift & 255 for shift in (0, 8, 16)], axis=-1)
    Image.fromarray(colours.astype(np.uint8)).save(path)
    segments_info = [
        {"id": info["id"] + 1, "category_id": int(ids[info["label_id"]])}
        for info in segmented["segments_info"]
    ]
    yield {"file_name": path.name, "segments_info": segments_info}


def _instance(segmented: Mapping[str, Any], ids: np.ndarray, path: Path) -> Iterator[_Entry]:
    del path
    masks = RunLengths.of(segmented["segmentation"])
    for info, counts in zip(segmented["segments_info"], masks.counts, strict=True):
        yield {
            "category_id": int(ids[info["label_id"]]),
            "segmentation": {"size": list(masks.size), "counts": counts.decode("ascii")},
            "score": info["score"],
        }


def _semantic(segmented: Tensor, ids: np.ndarray, path: Path) -> Iterator[_Entry]:
    values = ids.astype(np.uint8 if ids.max(initial=0) < 256 else np.uint16)
    Image.fromarray(values[segmented.cpu().numpy()]).save(path)
    yield from ()


# What writes an image's file and gives its entries; the JSON file's name, its beginning and end.
_FORMATS: dict[str, tuple[Callable[[Any, np.ndarray, Path], Iterator[_Entry]], str, str, str]] = {
    "panoptic": (_panoptic, "panoptic.json", '{"annotations": [\n', "\n]}\n"),
    "instance": (_instance, "instances.json", "[\n", "\n]\n"),
    "semantic": (_semantic, "", "", ""),
}
