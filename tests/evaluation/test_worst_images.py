"""Which images a model is worst at."""

import pytest
import torch

from eomtlib.core.machine import distributed
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.evaluation.worst_images import WorstImages

CLASSES = (ClassInfo("road", False, 0), ClassInfo("sky", False, 1))


def image(right, pixels=100):
    """A prediction of which so many pixels are right, all of road, and its target."""
    target = SegmentMap(
        torch.zeros(1, 1, pixels, dtype=torch.int16), torch.tensor([0]), torch.zeros(1).bool()
    )
    return (torch.arange(pixels) >= right).long()[None], target


def seen(rights, **options):
    worst = WorstImages("semantic", CLASSES, **options)
    for image_id, right in rights.items():
        worst(*image(right), image_id)
    return worst


def test_the_worst_come_first_and_only_so_many():
    rights = {7: 60, 3: 10, 9: 90, 4: 10, 1: 100, 5: 0}
    found = seen(rights, count=4).found()
    assert list(found) == [5, 3, 4, 7]
    # IoU of road is what is right; sky is only predicted, or does not occur.
    assert list(found.values()) == pytest.approx([0, 5, 5, 30])


def test_processes_put_theirs_together(monkeypatch):
    parts = [seen({1: 50, 2: 20}, count=2), seen({3: 30, 4: 90}, count=2)]
    shared = [part._figures for part in parts]
    monkeypatch.setattr(distributed, "gathered", lambda own: shared)
    assert list(parts[0].found()) == list(parts[1].found()) == [2, 3]


def test_an_image_of_nothing_has_no_figure():
    worst = WorstImages("panoptic", CLASSES)
    void = SegmentMap(
        torch.full((1, 4, 4), -1, dtype=torch.int16), torch.tensor([]).long(), torch.zeros(0).bool()
    )
    worst({"segmentation": torch.full((4, 4), -1), "segments_info": []}, void, 1)
    assert worst.found() == {}
