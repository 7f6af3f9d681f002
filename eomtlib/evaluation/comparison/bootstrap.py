"""The difference of two models, paired over images: how far it could be another's on other images.

Images are drawn anew with replacement, the same for both models (Efron and Tibshirani, *An
Introduction to the Bootstrap*, 1993). The interval holds for other images of the same kind, not for
other trainings of the same models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eomtlib.core.errors import ConfigurationError
from eomtlib.evaluation.comparison.statistics import Statistics, mean_over_classes

CONFIDENCE = 0.95
_AT_ONCE = 250


@dataclass(frozen=True)
class Difference:
    """B minus A, in points.

    Attributes:
        figures: of A and B, ``[2]`` percent.
        gain: their difference.
        interval: its ends, at 95 %.
        by_class: ``[2, K]``; NaN where a class does not occur.
        class_intervals: ``[2, K]``, the ends of each class's own interval.
        support: ``[K]`` images that have each class.
        by_image: ``[N]``, the difference in each image alone; NaN where nothing is to be found.
        resamples: how often images were drawn.
    """

    figures: np.ndarray
    gain: float
    interval: tuple[float, float]
    by_class: np.ndarray
    class_intervals: np.ndarray
    support: np.ndarray
    by_image: np.ndarray
    resamples: int


def difference(
    a: Statistics, b: Statistics, *, num_images: int, resamples: int = 2000, seed: int = 0
) -> Difference:
    """Compares two models on the same images, in the same order.

    Args:
        a: of the first.
        b: of the second.
        num_images: of both.
        resamples: how often images are drawn.
        seed: of the draws.

    Raises:
        ConfigurationError: for fewer than two images, or fewer draws than an interval takes.
    """
    if num_images < 2 or resamples < 100:
        raise ConfigurationError(
            f"{num_images} image(s) and resamples={resamples}: a comparison takes 2 images and 100 "
            "resamples or more."
        )
    once = np.ones((1, num_images))
    by_class = np.concatenate([own.figures(once) for own in (a, b)])
    figures = mean_over_classes(by_class)
    rng, chance = np.random.default_rng(seed), np.full(num_images, 1 / num_images)
    drawn, of_classes = [], []
    for begun in range(0, resamples, _AT_ONCE):
        count = min(_AT_ONCE, resamples - begun)
        weights = rng.multinomial(num_images, chance, size=count).astype(np.float64)
        own_a, own_b = a.figures(weights), b.figures(weights)
        drawn.append(mean_over_classes(own_b) - mean_over_classes(own_a))
        of_classes.append(own_b - own_a)
    return Difference(
        figures=figures,
        gain=float(figures[1] - figures[0]),
        interval=tuple(_interval(np.concatenate(drawn)).tolist()),
        by_class=by_class,
        class_intervals=_interval(np.concatenate(of_classes)),
        support=a.support,
        by_image=b.of_images() - a.of_images(),
        resamples=resamples,
    )


def _interval(drawn: np.ndarray) -> np.ndarray:
    """``[R, ...]`` → ``[2, ...]``; NaN where hardly any draw has a figure."""
    tail = (1 - CONFIDENCE) / 2
    known = np.mean(~np.isnan(drawn), axis=0)
    filled = np.where(known > 0.5, drawn, 0.0)
    ends = np.nanquantile(filled, (tail, 1 - tail), axis=0)
    return np.where(known > 0.5, ends, np.nan)
