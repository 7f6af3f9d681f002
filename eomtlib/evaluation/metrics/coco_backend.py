"""COCO's own evaluation of detections: by hotcoco where it is installed, else by pycocotools.

Both come to the same figures, bit for bit (tests); hotcoco is some twenty times as fast.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

try:
    import hotcoco
except ImportError:
    hotcoco = None

DetectedImage = tuple[tuple[int, int], list[dict[str, Any]], list[dict[str, Any]]]
"""Size, detections and ground truth of an image, as COCO's annotations without ids."""


@dataclass(frozen=True)
class Detections:
    """D detections of a class over all images, the surest first.

    Attributes:
        images: ``[D]`` positions of their images.
        scores: ``[D]``.
        right, ignored: ``[10, D]`` bool, at each threshold of IoU, 0.5 to 0.95: whether an
            instance is matched, and whether it counts for nothing, as on crowds.
        instances: ``[N]`` instances in each image that are no crowds.
    """

    images: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    ignored: np.ndarray
    instances: np.ndarray


@dataclass(frozen=True)
class Evaluated:
    """What COCO's evaluation came to.

    Attributes:
        precision: ``[10, 101, classes, 4]``: thresholds of IoU, recalls, and instances of every
            area, small, medium and large; −1 where there is no instance.
        by_class: the detections of each class, matched with instances of every area.
    """

    precision: np.ndarray
    by_class: tuple[Detections, ...]


def evaluated(
    images: Sequence[DetectedImage],
    *,
    num_classes: int,
    max_dets: int,
    by_hotcoco: bool = hotcoco is not None,
) -> Evaluated:
    """Evaluates masks; of each image and class the ``max_dets`` surest detections."""
    data_set = _hotcoco_set if by_hotcoco else _pycocotools_set
    with redirect_stdout(io.StringIO()):  # they print at every step
        truth, found = (data_set(_content(images, part, num_classes)) for part in (2, 1))
        evaluation = (hotcoco.COCOeval if by_hotcoco else COCOeval)(truth, found, "segm")
        evaluation.params.maxDets = [max_dets]
        evaluation.evaluate()
        evaluation.accumulate()
    parts: list[list[dict[str, Any]]] = [[] for _ in range(num_classes)]
    every_area = list(evaluation.params.areaRng[0])
    for entry in evaluation.evalImgs:
        if entry is not None and list(entry["aRng"]) == every_area:
            parts[entry["category_id"]].append(entry)
    by_class = tuple(_joined(own, num_images=len(images)) for own in parts)
    return Evaluated(np.asarray(evaluation.eval["precision"])[..., -1], by_class)


def _content(images: Sequence[DetectedImage], part: int, num_classes: int) -> dict[str, Any]:
    pairs = [(place, own) for place, image in enumerate(images) for own in image[part]]
    return {
        "images": [
            {"id": place, "height": image[0][0], "width": image[0][1]}
            for place, image in enumerate(images)
        ],
        "categories": [{"id": index, "name": str(index)} for index in range(num_classes)],
        # From 1 on, as pycocotools reads 0 as none.
        "annotations": [
            {"id": number, "image_id": place, **own}
            for number, (place, own) in enumerate(pairs, start=1)
        ],
    }


def _hotcoco_set(content: dict[str, Any]) -> Any:
    for own in content["annotations"]:
        outline = own["segmentation"]
        own["segmentation"] = outline | {"counts": outline["counts"].decode("ascii")}
    return hotcoco.COCO(content)


def _pycocotools_set(content: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco


def _joined(entries: Sequence[dict[str, Any]], *, num_images: int) -> Detections:
    entries = sorted(entries, key=lambda entry: entry["image_id"])
    counts = [len(entry["dtScores"]) for entry in entries]
    images = np.repeat([entry["image_id"] for entry in entries], counts).astype(int)
    scores = np.concatenate([[], *(entry["dtScores"] for entry in entries)])
    order = np.argsort(-scores, kind="stable")
    # An image without detections has an empty list of no certain shape.
    right, ignored = (
        np.concatenate([np.zeros((10, 0)), *(np.reshape(e[name], (10, -1)) for e in entries)], 1)
        for name in ("dtMatches", "dtIgnore")
    )
    instances = np.zeros(num_images, np.int64)
    for entry in entries:
        instances[entry["image_id"]] = np.count_nonzero(np.equal(entry["gtIgnore"], 0))
    return Detections(
        images[order],
        scores[order],
        right[:, order] > 0,
        ignored[:, order] > 0,
        instances,
    )
