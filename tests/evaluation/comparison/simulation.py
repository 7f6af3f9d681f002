"""How often the interval of a comparison covers the difference that there truly is.

Images are drawn of which both models find the same ones hard, so that they are worth pairing; the
truth is what half a million of them come to. Run as a script it makes 2,000 pairs.
"""

import numpy as np

from eomtlib.evaluation.comparison import statistics
from eomtlib.evaluation.comparison.bootstrap import difference

IMAGES, CLASSES = 200, 12
SHARES = np.linspace(0.15, 0.9, CLASSES)
LEAST = 20


def drawn(rng, count):
    """``[2, N, K, 4]`` PQ's sums of both models in each image, and which classes are in it."""
    there = rng.random((count, CLASSES)) < SHARES
    segments = there * (1 + rng.poisson(np.linspace(3, 0, CLASSES), (count, CLASSES)))
    hard = rng.normal(0, 1, (count, 1)) + rng.normal(0, 0.5, (count, CLASSES))
    values = np.zeros((2, count, CLASSES, 4))
    for model in range(2):
        skill = np.linspace(-1, 2, CLASSES) + 0.3 * model * np.cos(np.arange(CLASSES))
        own = skill - hard + rng.normal(0, 0.3, (count, CLASSES))
        found = rng.binomial(segments, 1 / (1 + np.exp(-own)))
        quality = 0.5 + 0.5 * rng.beta(4 + model, 2, (count, CLASSES))
        invented = rng.poisson(0.3 * SHARES * np.exp(0.4 * hard))
        values[model] = np.stack((found * quality, found, invented, segments - found), axis=-1)
    return values, there


def figures_of(values):
    return statistics.mean_over_classes(statistics._pq(values.sum(-3)))


def truth(rng):
    total = sum(drawn(rng, 10_000)[0].sum(1) for _ in range(50))
    figures = statistics.mean_over_classes(statistics._pq(total))
    return figures[1] - figures[0]


def coverage(pairs, *, resamples=2000, seed=0):
    """In how many of the pairs the interval covers the truth; too low, and too high."""
    rng = np.random.default_rng(seed)
    true, outside = truth(rng), np.zeros(2, int)
    for pair in range(pairs):
        while True:
            values, there = drawn(rng, IMAGES)
            if there.sum(0).min() >= LEAST:
                break
        models = [statistics.Sums(own, statistics._pq, there.sum(0)) for own in values]
        found = difference(*models, num_images=IMAGES, resamples=resamples, seed=pair)
        outside += found.interval[1] < true, found.interval[0] > true
    return pairs - outside.sum(), outside


if __name__ == "__main__":
    covered, outside = coverage(2000)
    print(f"{covered / 20:.1f} % of 2,000 intervals cover the truth; too low, too high: {outside}")
