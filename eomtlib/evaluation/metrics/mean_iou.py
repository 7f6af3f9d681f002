"""Mean intersection over union of semantic segmentation, from one confusion matrix.

Everingham et al., *The PASCAL Visual Object Classes Challenge*, IJCV 2010, which calls it accuracy:
counts are summed over all images before anything is divided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.evaluation.metrics.metric import (
    Result,
    add_state,
    by_class,
    check_range,
    check_target,
    checked_classes,
    percent,
)

_SHOWN_PAIRS = 20


class MeanIoU:
    """Counts pixels over images. Void and crowds are ignored, whatever was predicted there.

    Args:
        classes: of the data set; the position is the class index.

    Raises:
        ConfigurationError: when two classes have the same name.
    """

    def __init__(self, classes: Sequence[ClassInfo]) -> None:
        self.classes = checked_classes(classes)
        self._confusion = np.zeros((len(self.classes),) * 2, np.int64)

    def update(self, segmented: Tensor, target: SegmentMap) -> None:
        """Adds an image.

        Args:
            segmented: ``[H, W]`` integers, the class of each pixel, on any device.
            target: the ground truth at the same size, in one layer, on the CPU.

        Raises:
            ConfigurationError: when sizes or classes do not fit; nothing was added then.
        """
        count = len(self.classes)
        check_target(target, segmented.shape, num_classes=count)
        check_range("prediction holds classes", segmented, count)
        ignored = torch.where(target.is_crowd, count, target.labels)
        # The last entry stands for void, which −1 points to; what is ignored has a row of its own.
        rows = torch.cat((ignored, torch.tensor([count]))).to(segmented.device)
        truth = rows[target.ids[0].to(segmented.device).long()]
        pairs = truth * count + segmented
        counts = torch.bincount(pairs.flatten(), minlength=(count + 1) * count)
        self._confusion += counts.view(count + 1, count)[:count].cpu().numpy()

    def state(self) -> Tensor:
        """``[classes, classes]`` int64 pixel counts, a row for each true class.

        The states of several processes add up: reduce them by summation.
        """
        return torch.from_numpy(self._confusion.copy())

    def merge(self, state: Tensor) -> None:
        """Adds what another process has accumulated.

        Raises:
            ConfigurationError: when it is the state of other classes.
        """
        add_state(self._confusion, state)

    def compute(self) -> Result:
        """Figures over all images so far.

        Returns:
            ``miou`` in percent, the mean over the ``n`` classes that occur, in the ground truth or
            in predictions; NaN where none does. Per class ``iou`` in percent, 0 where the class
            does not occur, and the ``pixels`` of it in the ground truth and ``predicted``. In
            ``errors`` the ``pairs`` of classes that cost most: the points of mIoU that are lost to
            pixels of the ``true`` class that were predicted as the other, in both classes' IoU; the
            losses of all pairs come to 100 − mIoU.
        """
        hits = self._confusion.diagonal()
        pixels, predicted = self._confusion.sum(1), self._confusion.sum(0)
        union = pixels + predicted - hits
        occurs = union > 0
        iou = percent(hits, union)
        mean = float(iou[occurs].mean()) if occurs.any() else math.nan
        columns = {"iou": iou, "pixels": pixels, "predicted": predicted}
        metrics = {"miou": mean, "n": int(occurs.sum())}
        return Result(metrics, by_class(self.classes, columns), {"pairs": self._pairs(union)})

    def _pairs(self, union: np.ndarray) -> list[dict[str, Any]]:
        share = np.divide(1, union, where=union > 0, out=np.zeros(len(union)))
        lost = 100 * self._confusion * (share[:, None] + share) / max(1, (union > 0).sum())
        np.fill_diagonal(lost, 0)
        worst = np.argsort(-lost, axis=None, kind="stable")[:_SHOWN_PAIRS]
        return [
            {
                "true": self.classes[true].name,
                "predicted": self.classes[predicted].name,
                "loss": float(lost[true, predicted]),
            }
            for true, predicted in zip(*np.unravel_index(worst, lost.shape), strict=True)
            if lost[true, predicted]
        ]
