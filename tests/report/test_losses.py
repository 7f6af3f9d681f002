import numpy as np
import pytest

from eomtlib.evaluation.metrics.panoptic_quality import PanopticQuality
from eomtlib.report.losses import loss_sentences
from tests.evaluation.metrics import planted


@pytest.fixture(scope="module")
def errors():
    rng, quality = np.random.default_rng(0), PanopticQuality(planted.CLASSES)
    for _ in range(20):
        ids, labels = planted.random_scene(rng)
        found = planted.missed(*planted.split(ids, labels, 0.4, rng), 0.1, rng)
        segmented = planted.as_prediction(*found)
        for info in segmented["segments_info"]:
            info["score"] = 0.95
        quality.update(segmented, planted.as_target(ids, labels))
    return quality.compute().errors


def test_sentences_begin_with_the_largest_loss(errors):
    said = loss_sentences(errors)
    assert said[0].endswith("points of PQ are lacking to 100.")
    assert said[1].endswith("of them: segments in several pieces (split).")
    assert "and their scores say 95 %" in said[-1]


def test_nothing_to_say_is_nothing_said():
    assert loss_sentences({}) == []
    pair = {"true": "sign", "predicted": "building", "loss": 2.34}
    assert loss_sentences({"pairs": [pair]}) == ["2.3 points of mIoU: sign taken for building."]
