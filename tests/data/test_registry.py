import pytest

from eomtlib.data.registry import open_dataset
from eomtlib.errors import ConfigurationError


def test_shapes_opens_without_any_file(tmp_path, monkeypatch):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path))
    options = {"image_size": 32, "train_images": 3, "val_images": 2}
    assert len(open_dataset("shapes", "train", **options)) == 3
    assert len(open_dataset("shapes", "val", **options)) == 2


def test_coco_opens_from_its_folder(coco_mini):
    assert len(open_dataset("coco", "val", data_path=str(coco_mini)).classes) == 133


def test_coco_without_a_path_says_what_to_download():
    with pytest.raises(ConfigurationError, match=r"data_path.*panoptic_annotations_trainval2017"):
        open_dataset("coco", "val")


def test_unknown_names_meet_their_neighbours():
    with pytest.raises(ConfigurationError, match=r"dataset='coc' .*'coco'"):
        open_dataset("coc", "val")
    with pytest.raises(ConfigurationError, match="split='test'"):
        open_dataset("shapes", "test")
