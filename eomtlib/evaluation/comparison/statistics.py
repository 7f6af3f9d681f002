"""What each image adds to a figure, so that the figure of any choice of images is quickly known."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numba import njit

from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.evaluation.metrics import METRICS
from eomtlib.evaluation.metrics.coco_backend import Detections
from eomtlib.evaluation.metrics.metric import percent

_RECALLS = np.linspace(0, 1, 101)


class Statistics(Protocol):
    """Of one model on N images of K classes.

    Attributes:
        support: ``[K]`` how many images have something true of each class.
    """

    support: np.ndarray

    def figures(self, weights: np.ndarray) -> np.ndarray:
        """``[R, K]`` percent, NaN where a class does not occur, of images taken ``[R, N]`` times.

        The mean over the classes that occur is the figure of the data set.
        """

    def of_images(self) -> np.ndarray:
        """``[N]`` the figure of each image alone."""


@dataclass(frozen=True)
class Sums:
    """Statistics that add up: PQ's and mIoU's.

    Attributes:
        values: ``[N, K, M]`` of each image.
        figure: ``[..., K, M]`` sums → ``[..., K]`` percent, NaN where a class does not occur.
        support: as of ``Statistics``.
    """

    values: np.ndarray
    figure: Callable[[np.ndarray], np.ndarray]
    support: np.ndarray

    def figures(self, weights: np.ndarray) -> np.ndarray:
        flat = self.values.reshape(len(self.values), -1)
        return self.figure((weights @ flat).reshape(len(weights), *self.values.shape[1:]))

    def of_images(self) -> np.ndarray:
        return mean_over_classes(self.figure(self.values))


@dataclass(frozen=True)
class RankedDetections:
    """Statistics of AP, which ranks the detections of all chosen images.

    Attributes:
        by_class: of each class.
        num_images: N.
    """

    by_class: Sequence[Detections]
    num_images: int

    @property
    def support(self) -> np.ndarray:
        return np.array([np.count_nonzero(own.instances) for own in self.by_class])

    def figures(self, weights: np.ndarray) -> np.ndarray:
        weights = np.ascontiguousarray(weights, np.float64)

        def of_class(own: Detections) -> np.ndarray:
            return _ap(own.images, own.right, own.ignored, weights, weights @ own.instances)

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return np.stack(list(threads.map(of_class, self.by_class)), axis=1)

    def of_images(self) -> np.ndarray:
        found = np.full((self.num_images, len(self.by_class)), np.nan)
        one = np.ones((1, 1))
        for index, own in enumerate(self.by_class):
            order = np.argsort(own.images, kind="stable")
            ends = np.searchsorted(own.images[order], np.arange(self.num_images + 1))
            for image in np.flatnonzero(own.instances):
                chosen = order[ends[image] : ends[image + 1]]
                right, ignored = own.right[:, chosen], own.ignored[:, chosen]
                count = own.instances[image : image + 1].astype(float)
                found[image, index] = _ap(np.zeros(len(chosen), int), right, ignored, one, count)[0]
        return mean_over_classes(found)


class ImageStatistics:
    """Collects statistics: a watcher of ``evaluate``.

    Args:
        task: ``panoptic``, ``instance`` or ``semantic``.
        classes: of the data set.

    Attributes:
        image_ids: of the images so far.
    """

    def __init__(self, task: str, classes: Sequence[ClassInfo]) -> None:
        self._task, self._classes = task, classes
        self._metric = METRICS[task](classes)
        self._values: list[np.ndarray] = []
        self._occurs: list[np.ndarray] = []
        self.image_ids: list[int] = []

    def __call__(self, segmented: Any, target: SegmentMap, image_id: int) -> None:
        """Adds an image."""
        if self._task != "instance":
            self._metric = METRICS[self._task](self._classes)
        self._metric.update(segmented, target)
        self.image_ids.append(image_id)
        if self._task == "panoptic":
            self._values.append(self._metric.state()[0].numpy())
            self._occurs.append(self._values[-1][:, [1, 3]].any(1))
        elif self._task == "semantic":
            confusion = self._metric.state().numpy()
            sums = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
            self._values.append(np.stack(sums, axis=1))
            self._occurs.append(sums[1] > 0)

    def finished(self) -> Statistics:
        """Of all images so far."""
        if self._task == "instance":
            return RankedDetections(self._metric.evaluated().by_class, len(self.image_ids))
        figure = _pq if self._task == "panoptic" else _iou
        values = np.array(self._values, np.float64)
        return Sums(values, figure, np.sum(self._occurs, axis=0))


def mean_over_classes(figures: np.ndarray) -> np.ndarray:
    """``[..., K]`` → ``[...]``, of the classes that occur; NaN where none does."""
    occurs = ~np.isnan(figures)
    count = occurs.sum(-1)
    total = np.where(occurs, figures, 0).sum(-1)
    return np.divide(total, count, where=count > 0, out=np.full(total.shape, np.nan))


def _pq(sums: np.ndarray) -> np.ndarray:
    iou, tp, fp, fn = np.moveaxis(sums, -1, 0)
    return percent(iou, tp + 0.5 * fp + 0.5 * fn, absent=np.nan)


def _iou(sums: np.ndarray) -> np.ndarray:
    hits, pixels, predicted = np.moveaxis(sums, -1, 0)
    return percent(hits, pixels + predicted - hits, absent=np.nan)


@njit(cache=True, nogil=True)
def _ap(
    images: np.ndarray,
    right: np.ndarray,
    ignored: np.ndarray,
    weights: np.ndarray,
    instances: np.ndarray,
) -> np.ndarray:
    """``[R]`` percent, COCO's: the mean over thresholds and 101 recalls of the best precision.

    Images that are taken several times need no detections several times: among equals a run of
    right ones has its best precision at its end, and one of wrong ones does not raise recall.
    """
    found = np.full(len(weights), np.nan)
    recall, precision = np.zeros(len(images)), np.zeros(len(images))
    places, taken = np.zeros(len(images), np.int64), np.zeros(len(images))
    for row in range(len(weights)):
        if instances[row] == 0:
            continue
        drawn = 0
        for place in range(len(images)):
            places[drawn], taken[drawn] = place, weights[row, images[place]]
            drawn += taken[drawn] > 0
        total = 0.0
        for level in range(len(right)):
            # Precision counts where recall rises alone.
            true, false, count = 0.0, 0.0, 0
            for index in range(drawn):
                weight = taken[index] * (1 - ignored[level, places[index]])
                if right[level, places[index]] and weight > 0:
                    true += weight
                    recall[count] = true / instances[row]
                    precision[count] = true / (true + false)
                    count += 1
                else:
                    false += weight
            for index in range(count - 2, -1, -1):
                precision[index] = max(precision[index], precision[index + 1])
            index = 0
            for threshold in _RECALLS:
                while index < count and recall[index] < threshold:
                    index += 1
                if index == count:
                    break
                total += precision[index]
        found[row] = 100 * total / (101 * len(right))
    return found
