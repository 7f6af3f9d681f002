"""Predictions as files that the data sets' own tools score, written image by image.

COCO's panoptic and instance results: https://cocodataset.org/#format-results. Semantic maps hold
category ids, as the tools of ADE20K and Cityscapes read them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from eomtlib.core.atomic_files import new_folder
from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.structures import ClassInfo
from eomtlib.evaluation.run_lengths import encode_masks

Add = Callable[[Any, int], None]
"""Given the prediction of an image, as the task's post-processing makes it, and the image's id."""

_MAX_INDEX = np.iinfo(np.uint16).max


def _coco_name(image_id: int) -> str:
    return f"{image_id:012d}"


@contextmanager
def exporting(
    folder: str | Path,
    *,
    task: str,
    classes: Sequence[ClassInfo],
    name_of: Callable[[int], str] = _coco_name,
) -> Iterator[Add]:
    """A folder of predictions: with ``exporting(…) as export`` call ``evaluate(…, export=export)``.

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
        name_of: an image's id → the name of its PNG, without the ending.

    Yields:
        A function that adds an image.

    Raises:
        ConfigurationError: when the folder exists, for an unknown task, or for category ids that
            the format cannot hold.
    """
    opened = _FORMATS[check_choice("task", task, _FORMATS)]
    ids = np.array([info.category_id for info in classes], np.int64)
    if task == "semantic" and len(ids) and not 0 <= ids.min() <= ids.max() <= _MAX_INDEX:
        raise ConfigurationError(
            f"classes: category ids lie between {ids.min()} and {ids.max()}, but a semantic PNG "
            f"holds 0 to {_MAX_INDEX}."
        )
    with new_folder(Path(folder)) as inside, opened(inside, ids, name_of) as add:
        yield add


@contextmanager
def _panoptic(folder: Path, ids: np.ndarray, name_of: Callable[[int], str]) -> Iterator[Add]:
    (folder / "panoptic").mkdir()
    with _json_list(folder / "panoptic.json", '{"annotations": [', "]}") as write:

        def add(prediction: Mapping[str, Any], image_id: int) -> None:
            name = f"{name_of(image_id)}.png"
            segment_ids = prediction["segmentation"].cpu().numpy() + 1
            colours = np.stack([segment_ids >> shift & 255 for shift in (0, 8, 16)], axis=-1)
            Image.fromarray(colours.astype(np.uint8)).save(folder / "panoptic" / name)
            segments_info = [
                {"id": info["id"] + 1, "category_id": int(ids[info["label_id"]])}
                for info in prediction["segments_info"]
            ]
            write({"image_id": image_id, "file_name": name, "segments_info": segments_info})

        yield add


@contextmanager
def _instance(folder: Path, ids: np.ndarray, name_of: Callable[[int], str]) -> Iterator[Add]:
    del name_of
    with _json_list(folder / "instances.json", "[", "]") as write:

        def add(prediction: Mapping[str, Any], image_id: int) -> None:
            masks = prediction["segmentation"]
            size = list(masks.shape[1:])
            encoded = encode_masks(masks)
            for info, counts in zip(prediction["segments_info"], encoded, strict=True):
                write(
                    {
                        "image_id": image_id,
                        "category_id": int(ids[info["label_id"]]),
                        "segmentation": {"size": size, "counts": counts.decode("ascii")},
                        "score": info["score"],
                    }
                )

        yield add


@contextmanager
def _semantic(folder: Path, ids: np.ndarray, name_of: Callable[[int], str]) -> Iterator[Add]:
    (folder / "semantic").mkdir()
    values = ids.astype(np.uint8 if ids.max(initial=0) < 256 else np.uint16)

    def add(prediction: Tensor, image_id: int) -> None:
        picture = Image.fromarray(values[prediction.cpu().numpy()])
        picture.save(folder / "semantic" / f"{name_of(image_id)}.png")

    yield add


@contextmanager
def _json_list(path: Path, head: str, tail: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A JSON file of a list that may be longer than memory, an entry a line."""
    with path.open("w", encoding="utf-8") as file:
        file.write(head)
        separator = "\n"

        def write(entry: dict[str, Any]) -> None:
            nonlocal separator
            file.write(separator + json.dumps(entry))
            separator = ",\n"

        yield write
        file.write(f"\n{tail}\n")


_Format = Callable[[Path, np.ndarray, Callable[[int], str]], AbstractContextManager[Add]]
_FORMATS: dict[str, _Format] = {
    "panoptic": _panoptic,
    "instance": _instance,
    "semantic": _semantic,
}
