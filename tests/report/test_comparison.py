import numpy as np
import pytest

from eomtlib.core.structures import ClassInfo
from eomtlib.evaluation.comparison.bootstrap import Difference
from eomtlib.report.comparison import class_table, image_table, sentences

CLASSES = [ClassInfo(name, True, place) for place, name in enumerate("abc")]


def found(**changes):
    values = {
        "figures": np.array([40.0, 42.5]),
        "gain": 2.5,
        "interval": (0.5, 4.5),
        "by_class": np.array([[30, 50, np.nan], [36, 49, np.nan]]),
        "class_intervals": np.array([[2, -3, np.nan], [9, 1, np.nan]]),
        "support": np.array([50, 7, 0]),
        "by_image": np.array([1.0, -30, np.nan, 0, 20]),
        "resamples": 2000,
    }
    return Difference(**values | changes)


def said(**changes):
    return " ".join(sentences(found(**changes), task="panoptic", names=("x", "y"), classes=CLASSES))


def test_sentences_say_what_the_spread_is_of_and_who_carries_it():
    text = said()
    assert "y lies 2.5 points of PQ above x (42.5 and 40.0)." in text
    assert "images like these 5 it is 0.5 to 4.5 (95 % interval)" in text
    assert "It is not of seeds" in text
    assert "holds 0" not in text
    assert "1 class occurs in fewer than 20 images (b)." in text
    assert "1 of 2 classes differ" in text
    assert "fewer than" not in said(support=np.array([50, 20, 0]))


def test_what_does_not_settle_it_is_said():
    text = said(interval=(-1.0, 4.5))
    assert "it is −1.0 to +4.5" in text
    assert "do not tell which of the two is better" in text
    below = said(gain=-2.5, interval=(-4.5, -0.5), figures=np.array([42.5, 40.0]))
    assert "y lies 2.5 points of PQ below x" in below
    assert "it is 0.5 to 4.5" in below


def test_tables_have_the_classes_that_occur_and_the_images_that_differ():
    table = class_table(found(), CLASSES)
    assert table.index.tolist() == ["b", "a"]
    assert table.loc["a"].tolist() == [30, 36, 6, 2, 9, 50]
    images = image_table(found(), ["p", "q", "r", "s", "t"], most=2)
    assert images["image"].tolist() == ["q", "t"]
    assert images["difference"].tolist() == pytest.approx([-30, 20])
