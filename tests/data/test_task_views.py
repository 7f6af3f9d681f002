import numpy as np
import pytest
import torch

from eomtlib.core.errors import DataError
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.data.sets.coco import CocoPanoptic
from eomtlib.data.task_views import as_instances, as_semantic
from tests.data.files import classes_of, masks_of, some


class One:
    """One image with two cats, one of them a crowd, a dog that does not show, sky and void."""

    classes = (
        ClassInfo("sky", False, 5),
        ClassInfo("dog", True, 6),
        ClassInfo("grass", False, 7),
        ClassInfo("cat", True, 8),
    )
    image_ids = np.array([3])
    sizes = np.array([[2, 4]], np.int32)

    def __len__(self):
        return 1

    def read(self, index):
        ids = torch.tensor([[[0, 0, 1, -1], [3, 0, 3, 1]]], dtype=torch.int16)
        labels, crowd = torch.tensor([3, 3, 1, 0]), torch.tensor([True, False, False, False])
        return torch.zeros(3, 2, 4, dtype=torch.uint8), SegmentMap(ids, labels, crowd)


def test_segments_of_a_class_are_one_in_the_semantic_task():
    dataset = as_semantic(One())
    _, segments = dataset.read(0)
    assert dataset.classes == One.classes
    assert segments.labels.tolist() == [0, 3]
    assert segments.ids.tolist() == [[[1, 1, 1, -1], [0, 1, 0, 1]]]
    assert segments.ids.dtype == torch.int16
    assert segments.is_crowd.tolist() == [False, False]


def test_things_alone_make_the_instance_task():
    dataset = as_instances(One())
    _, segments = dataset.read(0)
    assert [info.name for info in dataset.classes] == ["dog", "cat"]
    assert segments.labels.tolist() == [1, 1, 0]
    assert segments.is_crowd.tolist() == [True, False, False]
    assert segments.ids.tolist() == [[[0, 0, 1, -1], [-1, 0, -1, 1]]]


def test_layers_have_no_semantics():
    class Layered(One):
        def read(self, index):
            image, segments = super().read(index)
            return image, SegmentMap(
                segments.ids.repeat(2, 1, 1), segments.labels, segments.is_crowd
            )

    with pytest.raises(DataError, match="image 3: its segments overlap"):
        as_semantic(Layered()).read(0)
    assert as_instances(Layered()).read(0)[1].ids.shape[0] == 2


def test_coco_keeps_every_pixels_class(coco):
    panoptic = CocoPanoptic(coco, "val")
    semantic, things = as_semantic(panoptic), as_instances(panoptic)
    for index in some(panoptic):
        before, after = panoptic.read(index)[1], semantic.read(index)[1]
        wanted = classes_of(before, panoptic.classes)
        assert np.array_equal(classes_of(after, semantic.classes), wanted)
        assert after.num_segments == len(np.unique(wanted[wanted >= 0]))
        kept = [k for k, label in enumerate(before.labels) if panoptic.classes[label].is_thing]
        alone = things.read(index)[1]
        assert np.array_equal(masks_of(alone), masks_of(before)[kept])
        assert torch.equal(alone.is_crowd, before.is_crowd[kept])
