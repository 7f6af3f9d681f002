import numpy as np
import pytest

from eomtlib.core.structures import ClassInfo
from eomtlib.data.registry import open_dataset
from eomtlib.evaluation.metrics.panoptic_errors import PanopticErrors
from eomtlib.evaluation.metrics.panoptic_quality import PanopticQuality
from eomtlib.evaluation.metrics.repairs import REPAIRS
from tests.evaluation.metrics import panoptic
from tests.evaluation.metrics.planted import (
    CLASSES,
    PLANTED,
    as_prediction,
    as_shown,
    as_target,
    class_wrong,
    eroded,
    merged,
    missed,
    random_scene,
    shifted,
    split,
)


def measured(images, plant, rate, classes):
    quality, rng = PanopticQuality(classes), np.random.default_rng(0)
    things = np.array([info.is_thing for info in classes])
    for ids, labels in images:
        found = as_prediction(*plant(ids, labels, rate, rng, things))
        quality.update(found, as_target(ids, labels))
    return quality.compute()


def check(result, kind):
    kinds, lost = result.errors["kinds"], 100 - result.metrics["pq"]
    assert sum(kinds.values()) == pytest.approx(lost)
    assert lost > 0.3
    assert kinds[kind] >= 0.95 * lost


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("plant", PLANTED)
def test_an_error_planted_alone_has_the_loss(plant, rate):
    rng = np.random.default_rng(1)
    images = [random_scene(rng) for _ in range(40)]
    check(measured(images, plant, rate, CLASSES), PLANTED[plant])


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Their segments without crowds, four times as large, so that few pixels are little."""
    folder = tmp_path_factory.mktemp("shapes")
    dataset = open_dataset("shapes", "val", data_path=folder, train_images=1, val_images=60)
    images = []
    for index in range(60):
        segments = dataset.read(index)[1]
        labels, ids = segments.labels.numpy(), segments.ids[0].numpy().astype(int)
        ids[np.append(segments.is_crowd.numpy(), False)[ids]] = -1
        images.append(as_shown(np.kron(ids, np.ones((4, 4), int)), labels))
    return images, dataset.classes


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("plant", PLANTED)
def test_in_shapes_as_well(plant, rate, shapes):
    images, classes = shapes
    check(measured(images, plant, rate, classes), PLANTED[plant])


def damaged(rng):
    """With crowds, void, and whatever comes of random blocks."""
    ids, labels, is_crowd, prediction, predicted_labels = panoptic.random_image(rng)
    scale = np.ones((8, 8), int)
    target = panoptic.as_target(np.kron(ids, scale), labels, is_crowd)
    return panoptic.segmented(np.kron(prediction, scale), predicted_labels), target


def with_every_error(rng):
    ids, labels = found, guessed = random_scene(rng)
    for plant in (class_wrong, eroded, merged, split, shifted, missed):
        found, guessed = plant(found, guessed, 0.2, rng)
    return as_prediction(found, guessed), as_target(ids, labels)


@pytest.mark.parametrize(
    ("images", "classes", "absent"),
    [(damaged, panoptic.CLASSES, "merged"), (with_every_error, CLASSES, "void")],
)
def test_losses_are_never_below_zero_and_come_to_the_whole(images, classes, absent):
    rng, quality = np.random.default_rng(0), PanopticQuality(classes)
    for _ in range(100):
        quality.update(*images(rng))
    result = quality.compute()
    errors = result.errors
    assert all(loss > 0.1 for kind, loss in errors["kinds"].items() if kind != absent)
    assert sum(errors["kinds"].values()) == pytest.approx(100 - result.metrics["pq"])
    assert len(errors["per_class"]) == result.metrics["n"]
    for name, kinds in errors["per_class"].items():
        assert min(kinds.values()) > -1e-9
        assert sum(kinds.values()) == pytest.approx(100 - result.per_class[name]["pq"])
    assert {"small", "medium"} <= set(errors["sizes"]) <= {"small", "medium", "large"}
    for size in errors["sizes"].values():
        lost = sum(value for name, value in size.items() if name not in ("segments", "pq"))
        assert lost == pytest.approx(100 - size["pq"])
    segments = sum(size["segments"] for size in errors["sizes"].values())
    assert segments == sum(own["tp"] + own["fn"] for own in result.per_class.values())


def test_by_hand():
    """Four kinds in one image, of classes that each occur alone."""
    classes = [ClassInfo(name, True, place) for place, name in enumerate("abcd")]
    truth = np.repeat([[0, 1, 2, 3]], 4, axis=0).repeat(10, axis=1)
    found = truth.copy()
    found[0, :10] = 1  # a: 30 of 40 pixels; b: 40 of 50
    found[:2, 20:30] = 4  # c: in two halves, of which none matches
    found[:, 30:40] = -1  # d: nothing
    quality = PanopticQuality(classes)
    quality.update(as_prediction(found, np.array([0, 1, 2, 3, 2])), as_target(truth, np.arange(4)))
    errors, none = quality.compute().errors, dict.fromkeys(REPAIRS, 0.0)
    assert errors["per_class"] == {
        "a": pytest.approx(none | {"too coarse": 25}),
        "b": pytest.approx(none | {"too coarse": 20}),
        "c": pytest.approx(none | {"split": 100}),
        "d": pytest.approx(none | {"missed": 100}),
    }
    assert errors["sizes"]["small"]["segments"] == 4


def test_crowds_of_another_class_and_segments_without_a_pixel_are_void():
    ids = np.zeros((1, 8, 8), np.int16)
    ids[:, :4] = 1
    target = panoptic.as_target(ids[0], np.array([0, 1, 2]), np.array([False, True, False]))
    quality = PanopticQuality(panoptic.CLASSES)
    quality.update(as_prediction(ids[0].astype(int), np.array([0, 3])), target)
    result = quality.compute()
    # Class 2 has no pixel, class 3 is only predicted.
    assert result.metrics["pq"] == pytest.approx(100 / 3)
    assert result.errors["kinds"]["void"] == pytest.approx(200 / 3)


def test_scores_are_held_against_what_is_right():
    ids = np.repeat([[0, 1]], 4, axis=0).repeat(4, axis=1)
    quality = PanopticQuality(CLASSES)
    for score, label in ((0.9, 0), (0.9, 1), (0.62, 0)):
        found = as_prediction(ids, np.array([0, label]))
        found["segments_info"][0]["score"] = 1.0
        found["segments_info"][1]["score"] = score
        quality.update(found, as_target(ids, np.array([0, 0])))
    reliability = quality.compute().errors["reliability"]
    assert [(b["from"], b["right"], b["predictions"]) for b in reliability["bins"]] == [
        (pytest.approx(60), 100, 1),
        (pytest.approx(90), 50, 2),
        (pytest.approx(95), 100, 3),
    ]
    assert reliability["ece"] == pytest.approx((38 + 2 * 40 + 0) / 6)


def test_no_image_has_no_errors():
    assert PanopticErrors(CLASSES).compute() == {"kinds": {}, "sizes": {}, "per_class": {}}
