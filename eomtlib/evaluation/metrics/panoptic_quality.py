"""Panoptic quality, exactly as panopticapi computes it.

Kirillov et al., *Panoptic Segmentation*, CVPR 2019, Section 4; the treatment of void, crowds and
classes that do not occur is that of COCO's evaluation (panopticapi).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eomtlib.core.structures import VOID, ClassInfo, SegmentMap
from eomtlib.evaluation.metrics.metric import (
    Result,
    add_state,
    by_class,
    check_range,
    check_target,
    checked_classes,
)


class PanopticQuality:
    """Accumulates matches over images.

    A prediction and a segment of the ground truth match if they are of one class and their
    intersection over union is above 0.5, pixels of the prediction on void left out of the union.
    Crowd segments never match and are never missed. A prediction without a match is excused if more
    than half of it lies on void or on the crowd segment of its class; of several crowd segments of
    a class, panopticapi looks at the last one, and so does this.

    Args:
        classes: of the data set; the position is the class index.

    Raises:
        ConfigurationError: when two classes have the same name.
    """

    def __init__(self, classes: Sequence[ClassInfo]) -> None:
        self.classes = checked_classes(classes)
        # Columns: summed IoU, true positives, false positives, false negatives.
        self._sums = np.zeros((len(self.classes), 4), np.float64)

    def update(self, segmented: Mapping[str, Any], target: SegmentMap) -> None:
        """Adds an image.

        Args:
            segmented: as ``post_process_panoptic_segmentation`` gives it: ``segmentation``,
                ``[H, W]`` integers on any device, positions in ``segments_info`` or −1 for nothing;
                and there, of each predicted segment, ``label_id``. Those that do not show in the
                map do not count.
            target: the ground truth at the same size, in one layer. As in panopticapi, a segment of
                it that does not show in its map is missed.

        Raises:
            ConfigurationError: when sizes, ids or labels do not fit; nothing was added then.
        """
        prediction_ids = segmented["segmentation"]
        labels = np.array([info["label_id"] for info in segmented["segments_info"]], np.int64)
        check_target(target, prediction_ids.shape, num_classes=len(self.classes))
        check_range("prediction holds classes", torch.from_numpy(labels), len(self.classes))
        check_range("prediction holds ids", prediction_ids, labels.size, lowest=VOID)
        target_labels, is_crowd = target.labels.cpu().numpy(), target.is_crowd.cpu().numpy()
        areas = _intersections(prediction_ids, labels.size, target)
        gt_area, pred_area = areas[1:].sum(1), areas[:, 1:].sum(0)
        intersection, on_void = areas[1:, 1:], areas[0, 1:]

        union = gt_area[:, None] + pred_area - intersection - on_void
        candidate = (target_labels[:, None] == labels) & ~is_crowd[:, None] & (intersection > 0)
        iou = np.divide(intersection, union, where=candidate, out=np.zeros(union.shape))
        # Both sides are free of overlap, so an IoU above one half leaves room for no second match.
        gt_index, pred_index = np.nonzero(iou > 0.5)
        matched_labels = labels[pred_index]

        missed = ~is_crowd
        missed[gt_index] = False

        crowd_of_class = {target_labels[index]: index for index in np.flatnonzero(is_crowd)}
        on_crowd = [
            intersection[crowd_of_class[label], index] if label in crowd_of_class else 0
            for index, label in enumerate(labels)
        ]
        excused = on_void + np.array(on_crowd, np.int64)
        wrong = (pred_area > 0) & (excused <= 0.5 * pred_area)
        wrong[pred_index] = False

        np.add.at(self._sums[:, 0], matched_labels, iou[gt_index, pred_index])
        np.add.at(self._sums[:, 1], matched_labels, 1)
        np.add.at(self._sums[:, 2], labels[wrong], 1)
        np.add.at(self._sums[:, 3], target_labels[missed], 1)

    def state(self) -> Tensor:
        """``[classes, 4]`` float64: summed IoU, true positives, false positives, false negatives.

        The states of several processes add up: reduce them by summation.
        """
        return torch.from_numpy(self._sums.copy())

    def merge(self, state: Tensor) -> None:
        """Adds what another process has accumulated.

        Raises:
            ConfigurationError: when it is the state of other classes.
        """
        add_state(self._sums, state)

    def compute(self) -> Result:
        """Figures over all images so far.

        Returns:
            ``pq``, ``sq``, ``rq``, and the same with ``_things`` and ``_stuff``, in percent:
            averages over the classes that occur, that is, with any match, false positive or false
            negative. NaN where no class occurs. ``n``, ``n_things`` and ``n_stuff`` are the numbers
            of classes averaged over. Per class ``pq``, ``sq``, ``rq`` in percent, 0 where the class
            does not occur, and the counts ``tp``, ``fp``, ``fn``.
        """
        iou, tp, fp, fn = self._sums.T
        halves = tp + 0.5 * fp + 0.5 * fn
        zeros = np.zeros(len(self.classes))
        figures = {
            "pq": 100 * np.divide(iou, halves, where=halves > 0, out=zeros.copy()),
            "sq": 100 * np.divide(iou, tp, where=tp > 0, out=zeros.copy()),
            "rq": 100 * np.divide(tp, halves, where=halves > 0, out=zeros.copy()),
        }
        is_thing = np.array([info.is_thing for info in self.classes], bool)
        metrics: dict[str, float] = {}
        for suffix, chosen in (("", True), ("_things", is_thing), ("_stuff", ~is_thing)):
            occurs = (halves > 0) & chosen
            for name, values in figures.items():
                metrics[name + suffix] = float(values[occurs].mean()) if occurs.any() else math.nan
            metrics[f"n{suffix}"] = int(occurs.sum())
        columns = figures | {"tp": tp, "fp": fp, "fn": fn}
        return Result(metrics, by_class(self.classes, columns))


def _intersections(prediction_ids: Tensor, num_predictions: int, target: SegmentMap) -> np.ndarray:
    """``[S + 1, P + 1]`` pixel counts of every pair, void in row 0 and nothing in column 0.

    One count over the image, on the device that the prediction is on.
    """
    rows, columns = target.num_segments + 1, num_predictions + 1
    target_ids = target.ids[0].to(prediction_ids.device)
    pairs = (target_ids.int() - VOID) * columns + (prediction_ids.int() - VOID)
    counts = torch.bincount(pairs.flatten(), minlength=rows * columns)
    return counts.view(rows, columns).cpu().numpy()
