import numpy as np
import pytest

from eomtlib.evaluation.comparison.bootstrap import difference
from eomtlib.evaluation.comparison.statistics import ImageStatistics, mean_over_classes
from eomtlib.evaluation.metrics import METRICS
from tests.evaluation.comparison.simulation import coverage
from tests.evaluation.metrics import instances, panoptic, test_mean_iou


def semantic_image(rng):
    found, _, segments = test_mean_iou.random_image(rng)
    return found, segments


CASES = {
    "panoptic": (panoptic.random_pair, panoptic.CLASSES, "pq"),
    "semantic": (semantic_image, test_mean_iou.CLASSES, "miou"),
    "instance": (lambda rng: instances.random_image(rng)[:2], instances.CLASSES, "ap"),
}


@pytest.mark.parametrize("task", CASES)
def test_images_taken_several_times_have_the_metrics_figure(task):
    image, classes, name = CASES[task]
    rng, statistics = np.random.default_rng(0), ImageStatistics(task, classes)
    images = [image(rng) for _ in range(12)]
    for place, own in enumerate(images):
        statistics(*own, place)
    found = statistics.finished()
    weights = np.concatenate([np.ones((1, 12)), rng.multinomial(12, np.full(12, 1 / 12), size=4)])
    figures = found.figures(weights)
    for row, taken in zip(figures, weights, strict=True):
        metric = METRICS[task](classes)
        for own, times in zip(images, taken, strict=True):
            for _ in range(int(times)):
                metric.update(*own)
        result = metric.compute()
        assert mean_over_classes(row) == pytest.approx(result.metrics[name])
        for info, figure in zip(classes, row, strict=True):
            if not np.isnan(figure):
                assert figure == pytest.approx(result.per_class[info.name][name.removeprefix("m")])
    alone = METRICS[task](classes)
    alone.update(*images[3])
    assert found.of_images()[3] == pytest.approx(alone.compute().metrics[name], nan_ok=True)
    support = sum(np.isin(range(len(classes)), s.labels[~s.is_crowd]) for _, s in images)
    assert found.support.tolist() == support.tolist()


def test_a_model_does_not_differ_from_itself_and_a_better_one_does():
    rng = np.random.default_rng(0)
    pair = [ImageStatistics("panoptic", panoptic.CLASSES) for _ in range(2)]
    for place in range(60):
        ids, labels, is_crowd, prediction, guessed = panoptic.random_image(rng)
        target = panoptic.as_target(ids, labels, is_crowd)
        better = np.where(rng.random(ids.shape) < 0.5, ids, prediction)
        for statistics, own in zip(pair, (prediction, better), strict=True):
            statistics(panoptic.segmented(own, guessed), target, place)
    worse, better = (statistics.finished() for statistics in pair)
    same = difference(worse, worse, num_images=60, resamples=200)
    assert (same.gain, same.interval) == (0, (0, 0))
    found = difference(worse, better, num_images=60, resamples=400)
    assert 0 < found.interval[0] < found.gain < found.interval[1]
    assert np.nanmean(found.by_image) > 0
    turned = difference(better, worse, num_images=60, resamples=400)
    assert turned.interval == pytest.approx([-end for end in found.interval[::-1]])
    # The last class never occurs.
    assert np.isnan(found.class_intervals[:, 5]).all()


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say():
    """Of 300 at 95 %, 3 standard errors are 3.8 %; the script beside it makes 2,000."""
    covered, _ = coverage(300, resamples=500)
    assert 0.912 < covered / 300 < 0.988
