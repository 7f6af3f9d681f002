"""How often the interval of a comparison covers the difference that there truly is.

Images are drawn of which both models find the same ones hard, so that they are worth pairing; the
truth is what half a million of them come to. Run as a script it makes 2,000 pairs, and 300 of
models whose classes are rare, whose own intervals it looks at.
"""

import numpy as np

from eomtlib.evaluation.comparison import statistics
from eomtlib.evaluation.comparison.bootstrap import difference

IMAGES, CLASSES = 200, 12
SHARES = np.linspace(0.15, 0.9, CLASSES)
LEAST = 20


def drawn(rng, count, shares=SHARES):
    """``[2, N, K, 4]`` PQ's sums of both models in each image, and which classes are in it."""
    there = rng.random((count, CLASSES)) < shares
    segments = there * (1 + rng.poisson(np.linspace(3, 0, CLASSES), (count, CLASSES)))
    hard = rng.normal(0, 1, (count, 1)) + rng.normal(0, 0.5, (count, CLASSES))
    values = np.zeros((2, count, CLASSES, 4))
    for model in range(2):
        skill = np.linspace(-1, 2, CLASSES) + 0.3 * model * np.cos(np.arange(CLASSES))
        own = skill - hard + rng.normal(0, 0.3, (count, CLASSES))
        found = rng.binomial(segments, 1 / (1 + np.exp(-own)))
        quality = 0.5 + 0.5 * rng.beta(4 + model, 2, (count, CLASSES))
        invented = rng.poisson(0.3 * shares * np.exp(0.4 * hard))
        values[model] = np.stack((found * quality, found, invented, segments - found), axis=-1)
    return values, there


def truth(rng, shares=SHARES):
    """``[2, K]``, of each model and class."""
    return statistics._pq(sum(drawn(rng, 10_000, shares)[0].sum(1) for _ in range(50)))


def coverage(pairs, *, resamples=2000, seed=0):
    """In how many of the pairs the interval covers the truth; too low, and too high."""
    rng = np.random.default_rng(seed)
    of_a, of_b = statistics.mean_over_classes(truth(rng))
    true, outside = of_b - of_a, np.zeros(2, int)
    for pair in range(pairs):
        while True:
            values, there = drawn(rng, IMAGES)
            if there.sum(0).min() >= LEAST:
                break
        models = [statistics.Sums(own, statistics._pq, there.sum(0)) for own in values]
        found = difference(*models, num_images=IMAGES, resamples=resamples, seed=pair)
        outside += found.interval[1] < true, found.interval[0] > true
    return pairs - outside.sum(), outside


def coverage_of_classes(pairs, *, resamples=500, seed=1):
    """Images that a class is in, from and to → share of its own intervals that cover its truth."""
    rng = np.random.default_rng(seed)
    shares = np.array([0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.12, 0.15, 0.3, 0.6])
    of_a, of_b = truth(rng, shares)
    support, covered = [], []
    for pair in range(pairs):
        values, there = drawn(rng, IMAGES, shares)
        models = [statistics.Sums(own, statistics._pq, there.sum(0)) for own in values]
        found = difference(*models, num_images=IMAGES, resamples=resamples, seed=pair)
        low, high = found.class_intervals
        known = ~np.isnan(low)
        support += found.support[known].tolist()
        covered += ((low <= of_b - of_a) & (of_b - of_a <= high))[known].tolist()
    support, covered = np.array(support), np.array(covered)
    borders = [(1, 2), (3, 5), (6, 9), (10, 19), (20, IMAGES)]
    return {(a, b): covered[(support >= a) & (support <= b)].mean() for a, b in borders}


if __name__ == "__main__":
    covered, outside = coverage(2000)
    print(f"{covered / 20:.1f} % of 2,000 intervals cover the truth; too low, too high: {outside}")
    for (low, high), share in coverage_of_classes(300).items():
        print(f"a class in {low} to {high} images: {100 * share:.1f} % of its own intervals")
