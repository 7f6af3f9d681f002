"""Whether scores are what they say: the share of predictions that are right, by their score.

Reliability and expected calibration error as in Guo et al., *On Calibration of Modern Neural
Networks*, ICML 2017, of predicted segments instead of images.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_BINS = 20


class Reliability:
    """Sums by score.

    Attributes:
        sums: ``[bins, 3]`` float64: predictions, their summed scores, how many are right. Those of
            several processes add up.
    """

    def __init__(self) -> None:
        self.sums = np.zeros((_BINS, 3))

    def add(self, scores: np.ndarray, right: np.ndarray) -> None:
        """Adds ``[K]`` scores, and whether each prediction is right.

        No NaN is added; what lies outside of [0, 1] is in the first or the last bin.
        """
        known = ~np.isnan(scores)
        scores, right = scores[known], right[known]
        bins = (scores * _BINS).astype(int).clip(0, _BINS - 1)
        for column, weights in enumerate((None, scores, right)):
            self.sums[:, column] += np.bincount(bins, weights, _BINS)

    def compute(self) -> dict[str, Any]:
        """Percent: ``ece``, the mean distance of score and share right, weighed by predictions.

        And ``bins``, of each that has predictions: ``from`` and ``to``, the mean ``score``, the
        share ``right``, and the number of ``predictions``. Empty where there are none.
        """
        count, scores, right = self.sums.T
        if not count.any():
            return {}
        gap = 100 * np.abs(scores - right).sum() / count.sum()
        bins = [
            {
                "from": 100 * place / _BINS,
                "to": 100 * (place + 1) / _BINS,
                "score": float(100 * scores[place] / count[place]),
                "right": float(100 * right[place] / count[place]),
                "predictions": int(count[place]),
            }
            for place in np.flatnonzero(count).tolist()
        ]
        return {"ece": float(gap), "bins": bins}
