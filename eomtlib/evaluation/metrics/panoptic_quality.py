"""Panoptic quality, exactly as panopticapi computes it.

Kirillov et al., *Panoptic Segmentation*, CVPR 2019, Section 4; the treatment of void, crowds and
classes that do not occur is that of COCO's evaluation (panopticapi).

By boundaries: Cheng et al., *Boundary IoU*, CVPR 2021, Section 6 and its code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    percent,
)
from eomtlib.evaluation.metrics.overlaps import Overlaps, boundary_overlaps, overlaps
from eomtlib.evaluation.metrics.panoptic_errors import PanopticErrors
from eomtlib.evaluation.metrics.reliability import Reliability


class PanopticQuality:
    """Accumulates matches over images.

    A prediction and a segment of the ground truth match if they are of one class and their
    intersection over union is above 0.5, pixels of the prediction on void left out of the union.
    Crowd segments never match and are never missed. A prediction without a match is excused if more
    than half of it lies on void or on the crowd segment of its class; of several crowd segments of
    a class, panopticapi looks at the last one, and so does this.

    Args:
        classes: of the data set; the position is the class index.
        boundary: whether figures by boundaries come as well: IoU is then the smaller one of that of
            masks and that of their boundaries, which some pixels of every edge are.

    Raises:
        ConfigurationError: when two classes have the same name.
    """

    def __init__(self, classes: Sequence[ClassInfo], *, boundary: bool = False) -> None:
        self.classes = checked_classes(classes)
        # Columns: summed IoU, true positives, false positives, false negatives.
        self._sums = np.zeros((len(self.classes), 4), np.float64)
        self._by_boundary = np.zeros_like(self._sums) if boundary else None
        self._errors, self._reliability = PanopticErrors(self.classes), Reliability()

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
        image = overlaps(prediction_ids, labels, target)
        _add(self._sums, image)
        self._errors.add(image)
        scores = [info.get("score", math.nan) for info in segmented["segments_info"]]
        right = np.zeros(len(labels), bool)
        right[image.matches.found] = True
        counted = right | image.matches.wrong
        self._reliability.add(np.array(scores, np.float64)[counted], right[counted])
        if self._by_boundary is not None:
            boundaries = boundary_overlaps(prediction_ids, target, image)
            _add(self._by_boundary, replace(image, boundaries=boundaries))

    def state(self) -> list[Tensor]:
        """Sums, float64; those of several processes add up: reduce them by summation.

        First ``[classes, 4]``: summed IoU, true positives, false positives, false negatives; then
        those of ``PanopticErrors``, of ``Reliability`` and by boundaries, if these are measured.
        """
        return [torch.from_numpy(sums.copy()) for sums in self._all_sums()]

    def merge(self, state: list[Tensor]) -> None:
        """Adds what another process has accumulated.

        Raises:
            ConfigurationError: when it is the state of other classes.
        """
        for sums, own in zip(self._all_sums(), state, strict=True):
            add_state(sums, own)

    def _all_sums(self) -> list[np.ndarray]:
        by_boundary = [] if self._by_boundary is None else [self._by_boundary]
        return [self._sums, self._errors.sums, self._reliability.sums, *by_boundary]

    def compute(self) -> Result:
        """Figures over all images so far.

        Returns:
            ``pq``, ``sq``, ``rq``, and the same with ``_things`` and ``_stuff``, in percent:
            averages over the classes that occur, that is, with any match, false positive or false
            negative. NaN where no class occurs. ``n``, ``n_things`` and ``n_stuff`` are the numbers
            of classes averaged over. Per class ``pq``, ``sq``, ``rq`` in percent, 0 where the class
            does not occur, and the counts ``tp``, ``fp``, ``fn``. With boundaries also
            ``boundary_pq``, and of all classes ``boundary_sq`` and ``boundary_rq``. ``errors`` are
            what ``PanopticErrors`` says, and as ``reliability`` what ``Reliability`` says.
        """
        metrics, columns = self._figures(self._sums)
        if self._by_boundary is not None:
            by_boundary, own = self._figures(self._by_boundary)
            metrics |= {f"boundary_{name}": by_boundary[name] for name in ("pq", "sq", "rq")}
            columns["boundary_pq"] = own["pq"]
        errors = self._errors.compute() | {"reliability": self._reliability.compute()}
        return Result(metrics, by_class(self.classes, columns), errors)

    def _figures(self, sums: np.ndarray) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        iou, tp, fp, fn = sums.T
        halves = tp + 0.5 * fp + 0.5 * fn
        figures = {
            "pq": percent(iou, halves),
            "sq": percent(iou, tp),
            "rq": percent(tp, halves),
        }
        is_thing = np.array([info.is_thing for info in self.classes], bool)
        metrics: dict[str, float] = {}
        for suffix, chosen in (("", True), ("_things", is_thing), ("_stuff", ~is_thing)):
            occurs = (halves > 0) & chosen
            for name, values in figures.items():
                metrics[name + suffix] = float(values[occurs].mean()) if occurs.any() else math.nan
            metrics[f"n{suffix}"] = int(occurs.sum())
        return metrics, figures | {"tp": tp, "fp": fp, "fn": fn}


def _add(sums: np.ndarray, image: Overlaps) -> None:
    matches = image.matches
    matched = image.truth[matches.true]
    np.add.at(sums[:, 0], matched, matches.iou)
    np.add.at(sums[:, 1], matched, 1)
    np.add.at(sums[:, 2], image.labels[matches.wrong], 1)
    np.add.at(sums[:, 3], image.truth[matches.missed], 1)
