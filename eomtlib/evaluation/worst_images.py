"""The images that a model is worst at: each measured alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from eomtlib.core.machine import distributed
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.core.words import FIGURES
from eomtlib.evaluation.metrics import METRICS


def figure_alone(
    task: str, classes: Sequence[ClassInfo], segmented: Any, target: SegmentMap
) -> float:
    """The task's first figure of one image, in percent; NaN where nothing is to be found.

    Args:
        task: ``panoptic``, ``instance`` or ``semantic``.
        classes: of the data set.
        segmented: as its metric takes it.
        target: likewise.
    """
    metric = METRICS[task](classes)
    metric.update(segmented, target)
    return metric.compute().metrics[FIGURES[task][0]]


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
        self._task, self._classes, self._count = task, classes, count
        self._figures: dict[int, float] = {}

    def __call__(self, segmented: Any, target: SegmentMap, image_id: int) -> None:
        """Measures an image; one with nothing to find, and nothing found, has no figure."""
        figure = figure_alone(self._task, self._classes, segmented, target)
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
