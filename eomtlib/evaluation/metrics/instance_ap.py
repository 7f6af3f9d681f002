"""Average precision of instance segmentation, by pycocotools, which defines it for COCO.

Lin et al., *Microsoft COCO*, ECCV 2014; https://cocodataset.org/#detection-eval.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.run_lengths import RunLengths
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.evaluation.metrics.metric import (
    Result,
    by_class,
    check_range,
    check_target,
    checked_classes,
)

# In the order of COCOeval's summary.
_NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


_Image = tuple[tuple[int, int], list[dict[str, Any]], list[dict[str, Any]]]
"""Size, detections and ground truth of an image, as COCO's annotations without ids."""


class InstanceAP:
    """Collects detections and ground truth over images.

    The areas that sort instances into small, medium and large are their pixels in the target. The
    official evaluation takes them from the annotation file, where they may differ by some pixels.
    The order of images matters only where detections of several images score the same.

    Args:
        classes: of the data set; the position is the class index.

    Raises:
        ConfigurationError: when two classes have the same name.
    """

    def __init__(self, classes: Sequence[ClassInfo]) -> None:
        self.classes = checked_classes(classes)
        self._images: list[_Image] = []

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

    def state(self) -> tuple[int, list[_Image]]:
        """The number of classes and the images so far, which pickle; gather them as objects."""
        return len(self.classes), list(self._images)

    def merge(self, state: tuple[int, list[_Image]]) -> None:
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

    def compute(self) -> Result:
        """Figures over all images so far.

        Returns:
            In percent: ``ap``, the mean over IoU thresholds from 0.5 to 0.95 and over the ``n``
            classes with an instance that is no crowd; ``ap50`` and ``ap75`` at one threshold;
            ``ap_small``, ``ap_medium`` and ``ap_large``, of instances below 32² pixels, between,
            and from 96² on. NaN where there is no such instance. Per class ``ap``, ``ap50`` and
            ``ap75``, 0 where it has no instance, and the number of its ``instances``.
        """
        instances = np.zeros(len(self.classes), np.int64)
        for _, _, truth in self._images:
            for annotation in truth:
                instances[annotation["category_id"]] += not annotation["iscrowd"]
        with redirect_stdout(io.StringIO()):  # pycocotools prints at every step
            truth = self._as_coco([truth for _, _, truth in self._images])
            found = self._as_coco([found for _, found, _ in self._images])
            evaluation = COCOeval(truth, found, "segm")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        # [10 thresholds, 101 recalls, classes], of instances of every area and of 100 detections in
        # an image; here and in the summary −1 stands where there is nothing to find.
        precision = evaluation.eval["precision"][..., 0, -1]
        stats = evaluation.stats[: len(_NAMES)]
        metrics = {name: _percent(value) for name, value in zip(_NAMES, stats, strict=True)}
        metrics["n"] = int((instances > 0).sum())
        own = [np.maximum(precision[..., index], 0) for index in range(len(self.classes))]
        columns = {
            "ap": [100 * values.mean() for values in own],
            "ap50": [100 * values[0].mean() for values in own],
            "ap75": [100 * values[5].mean() for values in own],
            "instances": instances,
        }
        return Result(metrics, by_class(self.classes, columns))

    def _as_coco(self, annotations: Sequence[Sequence[dict[str, Any]]]) -> COCO:
        """A data set of the annotations of each image."""
        pairs = [(place, own) for place, of_image in enumerate(annotations) for own in of_image]
        coco = COCO()
        coco.dataset = {
            "images": [
                {"id": place, "height": height, "width": width}
                for place, ((height, width), _, _) in enumerate(self._images)
            ],
            "categories": [{"id": index} for index in range(len(self.classes))],
            # From 1 on, as pycocotools reads 0 as none.
            "annotations": [
                {"id": number, "image_id": place, **own}
                for number, (place, own) in enumerate(pairs, start=1)
            ],
        }
        coco.createIndex()
        return coco


def _annotations(masks: RunLengths, labels: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {"category_id": label, "segmentation": entry, "area": area}
        for label, entry, area in zip(labels, masks.entries(), masks.areas(), strict=True)
    ]


def _percent(value: float) -> float:
    return 100 * float(value) if value >= 0 else math.nan
