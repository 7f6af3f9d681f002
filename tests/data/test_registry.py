import pytest
import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.words import TASKS
from eomtlib.data.feed.in_memory import InMemory
from eomtlib.data.registry import DATASETS, open_dataset


def test_shapes_opens_without_any_file(tmp_path, monkeypatch):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path))
    options = {"image_size": 32, "train_images": 3, "val_images": 2}
    assert len(open_dataset("shapes", "train", **options)) == 3
    assert len(open_dataset("shapes", "val", **options)) == 2


def test_shapes_has_every_task(tmp_path):
    panoptic, instance, semantic = (
        open_dataset("shapes", "val", task=task, data_path=tmp_path, val_images=6, train_images=1)
        for task in TASKS
    )
    assert isinstance(instance, InMemory)
    assert isinstance(semantic, InMemory)
    assert semantic.classes == panoptic.classes
    assert instance.classes == tuple(info for info in panoptic.classes if info.is_thing)
    for index in range(6):
        images, segments = zip(
            *(d.read(index) for d in (panoptic, instance, semantic)), strict=True
        )
        assert torch.equal(images[0], images[1])
        assert torch.equal(images[0], images[2])
        is_thing = torch.tensor([panoptic.classes[k].is_thing for k in segments[0].labels])
        assert segments[1].num_segments == is_thing.sum()
        assert segments[2].num_segments == len(segments[0].labels.unique())
        assert torch.equal(segments[0].ids < 0, segments[2].ids < 0)


@pytest.mark.parametrize(
    ("task", "classes"), [("panoptic", 133), ("instance", 80), ("semantic", 133)]
)
def test_coco_opens_from_its_folder(coco, task, classes):
    assert len(open_dataset("coco", "val", task=task, data_path=str(coco)).classes) == classes


@pytest.mark.parametrize(
    ("name", "task", "files"),
    [
        ("coco", "panoptic", "panoptic_annotations_trainval2017.zip"),
        ("coco", "instance", " annotations_trainval2017.zip"),
        ("coco", "semantic", "panoptic_annotations_trainval2017.zip"),
        ("ade20k", "panoptic", "ADEChallengeData2016.zip, annotations_instance.tar"),
        ("ade20k", "semantic", "ADEChallengeData2016.zip"),
        ("ade20k", "instance", "ADEChallengeData2016.zip, annotations_instance.tar"),
        ("cityscapes", "panoptic", "leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip"),
        ("cityscapes", "semantic", "leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip"),
        ("custom", "panoptic", "images/train and images/val"),
    ],
)
def test_without_a_path_it_says_what_to_download(name, task, files):
    with pytest.raises(ConfigurationError, match=rf"data_path is not set.*{files}"):
        open_dataset(name, "val", task=task)


def test_unknown_names_meet_their_neighbours(monkeypatch):
    with pytest.raises(ConfigurationError, match=r"dataset='coc' .*'coco'"):
        open_dataset("coc", "val")
    with pytest.raises(ConfigurationError, match="split='test'"):
        open_dataset("shapes", "test")
    with pytest.raises(ConfigurationError, match=r"task='instances' .*'instance'"):
        open_dataset("shapes", "val", task="instances")
    monkeypatch.delitem(DATASETS["cityscapes"], "panoptic")
    with pytest.raises(ConfigurationError, match=r"task='panoptic' .*cityscapes.*has: semantic"):
        open_dataset("cityscapes", "val")


def test_every_data_set_of_the_project_is_there():
    assert list(DATASETS) == ["shapes", "coco", "ade20k", "cityscapes", "custom"]
    assert all(task in TASKS for tasks in DATASETS.values() for task in tasks)
