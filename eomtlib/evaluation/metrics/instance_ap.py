"""Average precision of instance segmentation, as COCO defines it (pycocotools, or its like).

Lin et al., *Microsoft COCO*, ECCV 2014; https://cocodataset.org/#detection-eval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.run_lengths import RunLengths
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.evaluation.metrics.coco_backend import DetectedImage, Evaluated, evaluated
from eomtlib.evaluation.metrics.metric import (
    Result,
    by_class,
    check_range,
    check_target,
    checked_classes,
)
from eomtlib.evaluation.metrics.reliability import Reliability

MAX_DETS = 100
"""Detections of each class in an image that count, the surest, as COCO's figures have it."""


class InstanceAP:
    """Collects detections and ground truth over images.

    The areas that sort instances into small, medium and large are their pixels in the target. The
    official evaluation takes them from the annotation file, where they may differ by some pixels.
    The order of images matters only where detections of several images score the same.

    Args:
        classes: of the data set; the position is the class index.
        max_dets: detections of each class in an image that count, the surest.

    Raises:
        ConfigurationError: when two classes have the same name, or nothing is to count.
    """

    def __init__(self, classes: Sequence[ClassInfo], *, max_dets: int = MAX_DETS) -> None:
        if max_dets < 1:
            raise ConfigurationError(f"max_dets={max_dets} must be at least 1.")
        self.classes = checked_classes(classes)
        self._images: list[DetectedImage] = []
        self._max_dets = max_dets

    def update(self, segmented: Mapping[str, Any], target: SegmentMap) -> None:
        """Adds an image.

        Args:
            segmented: as ``post_process_instance_segmentation`` gives it: ``segmentation``, run
                lengths or bool ``[K, H, W]`` on any device, and for each mask one of
                ``segments_info``, with ``label_id`` and ``score``.
            target: the ground truth at the same size, in any number of layers, on the CPU.

        Raises:
            ConfigurationError: when sizes or labels do not fit; nothing was added then.
        """
        masks, infos = RunLengths.of(segmented["segmentation"]), segmented["segments_info"]
        if len(masks) != len(infos):
            raise ConfigurationError(
                f"prediction has {len(masks)} masks, but {len(infos)} segments_info."
            )
        labels = [info["label_id"] for info in infos]
        check_target(target, masks.size, num_classes=len(self.classes), layered=True)
        check_range("prediction holds classes", torch.tensor(labels), len(self.classes))
        found = _annotations(masks, labels)
        for annotation, info in zip(found, infos, strict=True):
            annotation["score"] = float(info["score"])
        truth = _annotations(RunLengths.of_segments(target), target.labels.tolist())
        for annotation, is_crowd in zip(truth, target.is_crowd.tolist(), strict=True):
            annotation["iscrowd"] = int(is_crowd)
        self._images.append((target.size, found, truth))

    def state(self) -> tuple[int, list[DetectedImage]]:
        """The number of classes and the images so far, which pickle; gather them as objects."""
        return len(self.classes), list(self._images)

    def merge(self, state: tuple[int, list[DetectedImage]]) -> None:
        """Adds the images of another process.

        Raises:
            ConfigurationError: when it is the state of other classes.
        """
        count, images = state
        if count != len(self.classes):
            raise ConfigurationError(
                f"state of {count} classes does not fit {len(self.classes)} classes."
            )
        self._images.extend(images)

    def evaluated(self) -> Evaluated:
        """What all images so far came to, detection by detection."""
        return evaluated(self._images, num_classes=len(self.classes), max_dets=self._max_dets)

    def compute(self) -> Result:
        """Figures over all images so far.

        Returns:
            In percent: ``ap``, the mean over IoU thresholds from 0.5 to 0.95 and over the ``n``
            classes with an instance that is no crowd; ``ap50`` and ``ap75`` at one threshold;
            ``ap_small``, ``ap_medium`` and ``ap_large``, of instances below 32² pixels, between,
            and from 96² on. NaN where there is no such instance. Per class ``ap``, ``ap50`` and
            ``ap75``, 0 where it has no instance, and the number of its ``instances``. ``errors``
            hold the ``reliability`` of scores at an IoU of 0.5 (``Reliability``).
        """
        found = self.evaluated()
        of_every_area = found.precision[..., 0]
        metrics = {
            "ap": _percent(of_every_area),
            "ap50": _percent(of_every_area[0]),
            "ap75": _percent(of_every_area[5]),
        }
        for place, size in enumerate(("small", "medium", "large"), start=1):
            metrics[f"ap_{size}"] = _percent(found.precision[..., place])
        instances = np.array([own.instances.sum() for own in found.by_class], np.int64)
        metrics["n"] = int((instances > 0).sum())
        own = [np.maximum(of_every_area[..., index], 0) for index in range(len(self.classes))]
        columns = {
            "ap": [100 * values.mean() for values in own],
            "ap50": [100 * values[0].mean() for values in own],
            "ap75": [100 * values[5].mean() for values in own],
            "instances": instances,
        }
        reliability = Reliability()
        for detections in found.by_class:
            counted = ~detections.ignored[0]
            reliability.add(detections.scores[counted], detections.right[0, counted])
        errors = {"reliability": reliability.compute()}
        return Result(metrics, by_class(self.classes, columns), errors)


def _annotations(masks: RunLengths, labels: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {"category_id": label, "segmentation": entry, "area": area}
        for label, entry, area in zip(labels, masks.entries(), masks.areas(), strict=True)
    ]


def _percent(precision: np.ndarray) -> float:
    """The mean, where there is something to find."""
    there = precision[precision > -1]
    return 100 * float(there.mean()) if there.size else math.nan
