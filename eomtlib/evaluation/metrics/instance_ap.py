"""Average precision of instance segmentation, by pycocotools, which defines it for COCO.

Lin et al., *Microsoft COCO*, ECCV 2014; https://cocodataset.org/#detection-eval.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.evaluation.metrics.metric import Result, check_labels, check_size, checked_classes
from eomtlib.evaluation.run_lengths import encode_masks, encode_segments

# In the order of COCOeval's summary.
_NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


@dataclass(frozen=True)
class _Masks:
    """The masks of one image: compressed run lengths, labels, and scores or crowd flags."""

    counts: list[bytes]
    labels: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class _ImageEntry:
    """What is kept of an image: some hundred bytes for a mask."""

    size: tuple[int, int]
    found: _Masks
    truth: _Masks


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
        self._images: list[_ImageEntry] = []

    def update(self, prediction: Mapping[str, Any], target: SegmentMap) -> None:
        """Adds an image.

        Args:
            prediction: as ``post_process_instance_segmentation`` gives it: ``segmentation``, bool
                ``[K, H, W]`` on any device, and for each mask one of ``segments_info``, with
                ``label_id`` and ``score``.
            target: the ground truth at the same size, in any number of layers, on the CPU.

        Raises:
            ConfigurationError: when sizes or labels do not fit; nothing was added then.
        """
        masks, infos = prediction["segmentation"], prediction["segments_info"]
        if len(masks) != len(infos):
            raise ConfigurationError(
                f"prediction has {len(masks)} masks, but {len(infos)} segments_info."
            )
        check_size(masks.shape[1:], target)
        labels = np.array([info["label_id"] for info in infos], np.int32)
        scores = np.array([info["score"] for info in infos], np.float64)
        truth = target.labels.numpy().astype(np.int32), target.is_crowd.numpy().copy()
        check_labels("prediction", labels, len(self.classes))
        check_labels("target", truth[0], len(self.classes))
        self._images.append(
            _ImageEntry(
                size=target.size,
                found=_Masks(encode_masks(masks), labels, scores),
                truth=_Masks(encode_segments(target), *truth),
            )
        )

    def state(self) -> tuple[int, list[_ImageEntry]]:
        """The number of classes and the images so far, which pickle; gather them as objects."""
        return len(self.classes), list(self._images)

    def merge(self, state: tuple[int, list[_ImageEntry]]) -> None:
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
        for image in self._images:
            np.add.at(instances, image.truth.labels[~image.truth.values], 1)
        if not instances.any():
            # pycocotools cannot work without any ground truth.
            precision = np.full((10, 1, len(self.classes)), -1.0)
            stats = [-1.0] * len(_NAMES)
        else:
            precision, stats = self._evaluated()
        metrics = {name: _percent(value) for name, value in zip(_NAMES, stats, strict=True)}
        metrics["n"] = int((instances > 0).sum())
        per_class = {}
        for index, info in enumerate(self.classes):
            own = np.maximum(precision[..., index], 0)
            figures = {"ap": own.mean(), "ap50": own[0].mean(), "ap75": own[5].mean()}
            per_class[info.name] = {name: 100 * float(v) for name, v in figures.items()}
            per_class[info.name]["instances"] = int(instances[index])
        return Result(metrics, per_class)

    def _evaluated(self) -> tuple[np.ndarray, Sequence[float]]:
        """Precision ``[10 thresholds, 101 recalls, classes]``, and the first figures of a summary.

        −1 stands where there is nothing to find.
        """
        # pycocotools prints at every step.
        with redirect_stdout(io.StringIO()):
            truth = self._as_coco([image.truth for image in self._images], "iscrowd")
            found = self._as_coco([image.found for image in self._images], "score")
            evaluation = COCOeval(truth, found, "segm")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        # Of instances of every area, and of 100 detections in an image.
        return evaluation.eval["precision"][..., 0, -1], evaluation.stats[: len(_NAMES)]

    def _as_coco(self, masks: Sequence[_Masks], value: str) -> COCO:
        annotations = []
        for image_id, (image, own) in enumerate(zip(self._images, masks, strict=True)):
            entries = [{"size": image.size, "counts": counts} for counts in own.counts]
            areas = coco_mask.area(entries)
            for entry, area, label, number in zip(
                entries, areas, own.labels, own.values, strict=True
            ):
                annotations.append(
                    {
                        "id": len(annotations) + 1,  # pycocotools reads 0 as none
                        "image_id": image_id,
                        "category_id": int(label),
                        "segmentation": entry,
                        "area": int(area),
                        "iscrowd": 0,
                        value: number.item(),
                    }
                )
        coco = COCO()
        coco.dataset = {
            "images": [
                {"id": image_id, "height": image.size[0], "width": image.size[1]}
                for image_id, image in enumerate(self._images)
            ],
            "categories": [{"id": index} for index in range(len(self.classes))],
            "annotations": annotations,
        }
        coco.createIndex()
        return coco


def _percent(value: float) -> float:
    return 100 * float(value) if value >= 0 else math.nan
