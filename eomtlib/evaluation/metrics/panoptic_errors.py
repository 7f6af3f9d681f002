"""The loss of panoptic quality by kind of error, by class and by size, added up over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eomtlib.core.structures import ClassInfo
from eomtlib.evaluation.metrics.metric import percent
from eomtlib.evaluation.metrics.overlaps import Matches, Overlaps
from eomtlib.evaluation.metrics.repairs import REPAIRS, repaired

SIZES = ("small", "medium", "large")
_BORDERS = (32**2, 96**2)
"""Pixels from which on a segment is medium, and large: COCO's."""


class PanopticErrors:
    """Sums of every stage of ``repairs.repaired``.

    Args:
        classes: of the data set.

    Attributes:
        sums: ``[stages, sizes × classes, 4]`` float64: summed IoU, true positives, false positives
            (by the size of the prediction), false negatives. Those of several processes add up.
    """

    def __init__(self, classes: Sequence[ClassInfo]) -> None:
        self._classes = classes
        self.sums = np.zeros((len(REPAIRS) + 1, len(SIZES) * len(classes), 4))

    def add(self, image: Overlaps) -> None:
        """Adds an image."""
        begun, before = 0, image
        for stage, own in enumerate(repaired(image)):
            if own is not before:
                self._add(slice(begun, stage), before)
                begun, before = stage, own
        self._add(slice(begun, None), before)

    def _add(self, stages: slice, image: Overlaps) -> None:
        matches: Matches = image.matches
        true = self._rows(image.truth, image.true_areas)
        matched = true[matches.true]
        wrong = self._rows(image.labels[matches.wrong], image.found_areas[matches.wrong])
        columns = (matched, matches.iou), (matched, None), (wrong, None)
        for column, (rows, weights) in enumerate((*columns, (true[matches.missed], None))):
            if len(rows):
                self.sums[stages, :, column] += np.bincount(rows, weights, self.sums.shape[1])

    def _rows(self, labels: np.ndarray, areas: np.ndarray) -> np.ndarray:
        size = (areas >= _BORDERS[0]).astype(np.int64) + (areas >= _BORDERS[1])
        return size * len(self._classes) + labels

    def compute(self) -> dict[str, Any]:
        """The figures over all images so far, in points of PQ.

        Returns:
            ``kinds``, kind of error → loss, which sum up to 100 − PQ; ``per_class``, the same of
            each class that occurs; ``sizes``, of each size its ``segments``, their ``pq`` and the
            loss by kind, to 100 − ``pq``. A class that only wrong predictions brought in has
            nothing to lose once these are gone.
        """
        by_size = self.sums.reshape(len(self.sums), len(SIZES), len(self._classes), 4)
        pq, losses = _losses(by_size.sum(1))
        occurs = ~np.isnan(pq)
        sizes = {}
        for place, size in enumerate(SIZES):
            own_pq, own = _losses(by_size[:, place])
            if not np.isnan(own_pq).all():
                segments = by_size[0, place, :, [1, 3]].sum()
                row = {"segments": float(segments), "pq": float(np.nanmean(own_pq))}
                sizes[size] = row | _named(np.nanmean(own, axis=1))
        return {
            "kinds": _named(np.nanmean(losses, axis=1)) if occurs.any() else {},
            "sizes": sizes,
            "per_class": {
                info.name: _named(losses[:, index])
                for index, info in enumerate(self._classes)
                if occurs[index]
            },
        }


def _losses(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of ``[stages, classes, 4]`` each class's PQ in percent, and ``[kinds, classes]`` its losses.

    NaN where a class does not occur at first.
    """
    iou, tp, fp, fn = np.moveaxis(sums, -1, 0)
    halves = tp + 0.5 * fp + 0.5 * fn
    pq = percent(iou, halves, absent=100.0)
    pq[:, halves[0] == 0] = np.nan
    return pq[0], np.diff(pq, axis=0)


def _named(losses: np.ndarray) -> dict[str, float]:
    return dict(zip(REPAIRS, losses.tolist(), strict=True))
