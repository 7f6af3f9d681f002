"""The images that a model is worst at: each measured alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from eomtlib.core import distributed
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.core.words import FIGURES
from eomtlib.evaluation.metrics import METRICS


class WorstImages:
    """A watcher of ``evaluate`` that remembers the images with the lowest figure of their own.

    The figure is the task's first, as if the image were the whole data set: PQ, AP or mean IoU. It
    is for finding images, not for comparing models: an image holds few segments.

    Args:
        task: ``panoptic``, ``instance`` or ``semantic``.
        classes: of the data set.
        count: how many.
    """

    def __init__(self, task: str, classes: Sequence[ClassInfo], *, count: int = 10) -> None:
        self._make_metric, self._figure = METRICS[task], FIGURES[task][0]
        self._classes, self._count = classes, count
        self._figures: dict[int, float] = {}

    def __call__(self, segmented: Any, target: SegmentMap, image_id: int) -> None:
        """Measures an image; one with nothing to find, and nothing found, has no figure."""
        metric = self._make_metric(self._classes)
        metric.update(segmented, target)
        figure = metric.compute().metrics[self._figure]
        if not math.isnan(figure):
            self._figures[image_id] = figure
            self._figures = _lowest(self._figures, self._count)

    def found(self) -> dict[int, float]:
        """Id → figure in percent, the worst first, over all processes, which ask together."""
        merged: dict[int, float] = {}
        for own in distributed.gathered(self._figures):
            merged |= own
        return _lowest(merged, self._count)


def _lowest(figures: dict[int, float], count: int) -> dict[int, float]:
    return dict(sorted(figures.items(), key=lambda item: (item[1], item[0]))[:count])
