import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from eomtlib.commands import main
from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.data.registry import open_dataset
from eomtlib.data.sets.coco import CocoInstances, CocoPanoptic
from eomtlib.data.sets.custom import custom_form, open_custom, usual_parts
from eomtlib.study.parameters.resolving import resolve_settings
from eomtlib.study.parameters.settings import Settings
from eomtlib.study.runs.identity import Identity
from eomtlib.study.runs.materials import Materials
from tests.data.custom_files import CLASSES, write_instances, write_masks, write_panoptic
from tests.data.files import classes_of, masks_of, write_json
from tests.samples import SMOKE


def test_masks_of_class_numbers(tmp_path):
    masks = write_masks(tmp_path)
    (tmp_path / "images" / "val" / "notes.txt").write_text("no image")
    dataset = open_dataset("custom", "val", task="semantic", data_path=tmp_path)
    assert [(c.name, c.is_thing, c.category_id) for c in dataset.classes] == [
        (entry["name"], bool(entry["isthing"]), entry["id"]) for entry in CLASSES
    ]
    for index, name in enumerate(sorted(masks)):
        image, segments = dataset.read(index)
        reference = np.asarray(Image.open(tmp_path / "images" / "val" / name).convert("RGB"))
        assert np.array_equal(image.permute(1, 2, 0), reference)
        values = masks[name].astype(int)
        assert np.array_equal(
            classes_of(segments, dataset.classes), np.where(values < 255, values, -1)
        )
        assert len(set(segments.labels.tolist())) == segments.num_segments


def test_cocos_formats_are_told_by_their_content(tmp_path):
    panoptic, instances = write_panoptic(tmp_path / "p"), write_instances(tmp_path / "i")
    for folder, form, reference in (
        (panoptic, "panoptic", CocoPanoptic(tmp_path / "p/coco", "val")),
        (instances, "instance", CocoInstances(tmp_path / "i/coco", "val")),
    ):
        assert custom_form(usual_parts(folder, "val")) == form
        dataset = open_dataset("custom", "val", task=form, data_path=folder)
        assert dataset.classes == reference.classes
        assert np.array_equal(dataset.image_ids, reference.image_ids)
        for index in range(len(reference)):
            image, segments = dataset.read(index)
            expected_image, expected = reference.read(index)
            assert np.array_equal(image, expected_image)
            assert np.array_equal(segments.ids, expected.ids)
            assert np.array_equal(segments.labels, expected.labels)
            assert np.array_equal(segments.is_crowd, expected.is_crowd)


def test_panoptic_annotations_serve_every_task(tmp_path):
    folder = write_panoptic(tmp_path)
    panoptic = open_dataset("custom", "val", data_path=folder).read(0)[1]
    things = open_dataset("custom", "val", task="instance", data_path=folder)
    assert [info.name for info in things.classes] == ["cat"]
    assert np.array_equal(masks_of(things.read(0)[1])[0], panoptic.ids[0] == 0)
    assert things.read(0)[1].is_crowd.tolist() == [True]
    semantic = open_dataset("custom", "val", task="semantic", data_path=folder)
    assert semantic.read(0)[1].labels.tolist() == [0, 1]
    assert not semantic.read(0)[1].is_crowd.any()


def elsewhere(root, form):
    """The same data in no layout of ours: as ``data_path`` has it, and the parts by name."""
    write = {"panoptic": write_panoptic, "instance": write_instances, "semantic": write_masks}[form]
    folder = write(root / "usual")
    folder = root / "usual" if form == "semantic" else folder
    other = root / "else where"
    shutil.copytree(folder / "images/val", other / "photos")
    if form != "instance":
        shutil.copytree(folder / "masks/val", other / "labels")
    if form == "semantic":
        shutil.copy(folder / "classes.json", other / "classes.json")
        return folder, other / "photos", other / "labels"
    shutil.copy(folder / "val.json", other / "labels.json")
    return folder, other / "photos", other / "labels.json"


def same(first, second):
    assert first.classes == second.classes
    assert first.source(0) == second.source(0)
    for index in range(len(first)):
        for one, other in zip(first.read(index), second.read(index), strict=True):
            if isinstance(one, torch.Tensor):
                assert torch.equal(one, other)
            else:
                assert torch.equal(one.ids, other.ids)
                assert torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("form", ["panoptic", "instance", "semantic"])
def test_images_and_annotations_lie_where_one_says(tmp_path, form):
    folder, images, annotations = elsewhere(tmp_path, form)
    usual = open_dataset("custom", "val", task=form, data_path=folder)
    files = f"{images}{os.pathsep}{annotations}"
    same(usual, open_dataset("custom", "val", task=form, files=files))
    if form == "instance":
        return
    third = annotations.parent / ("labels" if form == "panoptic" else "classes.json")
    moved = third.rename(tmp_path / f"third{third.suffix}")
    with pytest.raises(DataError, match=rf"{third.name}: (missing|no such folder)"):
        open_dataset("custom", "val", task=form, files=files)
    named = open_dataset("custom", "val", task=form, files=f"{files}{os.pathsep}{moved}")
    same(usual, named)


def test_what_is_named_must_be_there(tmp_path):
    folder, images, annotations = elsewhere(tmp_path, "instance")
    for files, message in (
        (str(images), "val_data=.* names no images and annotations"),
        (f"{images}{os.pathsep}{annotations}x", "labels.jsonx: no such file or folder"),
        (f"{images}x{os.pathsep}{annotations}", "photosx: no such folder"),
    ):
        with pytest.raises((DataError, ConfigurationError), match=message):
            open_dataset("custom", "val", task="instance", files=files)
    with pytest.raises(ConfigurationError, match=r"val_data=.*is for dataset='custom'"):
        open_dataset("coco", "val", data_path=folder, files="a:b")
    with pytest.raises(ConfigurationError, match=r"data_path is not set.*train_data and val_data"):
        open_dataset("custom", "val", task="instance")


def test_the_verbs_take_them_too(tmp_path, capsys):
    _, images, annotations = elsewhere(tmp_path, "instance")
    files = f"--val-data={images}{os.pathsep}{annotations}"
    status = main(["check-data", "--dataset=custom", "--split=val", files])
    said = capsys.readouterr().out
    assert "custom: 3 image(s) with 5 segment(s)" in said
    assert status == ("finding(s)" in said)


def test_a_study_takes_them(tmp_path):
    _, images, annotations = elsewhere(tmp_path, "semantic")
    files = f"{images}{os.pathsep}{annotations}"
    settings = resolve_settings(**SMOKE | {"dataset": "custom"}, train_data=files, val_data=files)
    assert settings.task == "semantic"
    assert settings.pretraining_images == str(images)
    materials = Materials(settings, results_dir=tmp_path, progress=False)
    assert len(materials.train_set) == len(materials.val_set) == 3
    assert Settings(train_data=settings.train_data).train_data == files
    with pytest.raises(ConfigurationError, match="train_data='photos' names no images and"):
        Settings(train_data="photos")


def planned(folder, **changed):
    settings = resolve_settings(**SMOKE | {"dataset": "custom", "data_path": folder} | changed)
    return Materials(settings, results_dir=folder, progress=False)


def test_a_plan_knows_where_queries_are_too_few(tmp_path):
    folder = write_panoptic(tmp_path)
    for name in ("images", "masks"):
        shutil.copytree(folder / name / "val", folder / name / "train")
    content = json.loads((folder / "val.json").read_text())
    content["annotations"][0]["segments_info"][0]["iscrowd"] = 0
    write_json(folder / "train.json", content)
    materials = planned(folder, num_queries=1)
    (said,) = [text for text in materials.remarks() if "queries" in text]
    files = materials.train_set
    counts = [int((~files.read(k)[1].is_crowd).sum()) for k in range(len(files))]
    above = [count for count in counts if count > 1]
    assert f", {len(above)} have more segments than the model's 1 queries (at most " in said
    assert f"(at most {max(above)})" in said
    assert not any("queries" in text for text in planned(folder, num_queries=9).remarks())


def test_colours_of_classes_make_no_other_run(tmp_path):
    for split in ("train", "val"):
        write_masks(tmp_path, split)
    before = planned(tmp_path)
    colored = [entry | {"color": [1, 2, entry["id"]]} for entry in CLASSES]
    write_json(tmp_path / "classes.json", colored)
    after = planned(tmp_path)
    assert after.classes[0].color == (1, 2, 7)
    first, second = Identity("eomt", before), Identity("eomt", after)
    assert first.folder == second.folder
    assert first.model_config().class_colors is None
    assert second.model_config().class_colors == ("010207", "010200", "0102fe")


def test_a_task_that_annotations_do_not_serve_is_refused(tmp_path):
    write_masks(tmp_path)
    with pytest.raises(ConfigurationError, match=r"task='panoptic' .*semantic .*task='semantic'"):
        open_dataset("custom", "val", data_path=tmp_path)
    folder = write_instances(tmp_path / "i")
    with pytest.raises(ConfigurationError, match=r"task='semantic' .*task='instance'"):
        open_dataset("custom", "val", task="semantic", data_path=folder)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no annotations .*val\.json .*masks/val/ and classes"):
        open_custom(tmp_path, "val")
    write_masks(tmp_path)
    (tmp_path / "masks" / "val" / "b" / "c.png").unlink()
    with pytest.raises(DataError, match=r"masks/val/b/c\.png: missing, .*images/val/b/c\.png"):
        open_custom(tmp_path, "val", task="semantic")
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(DataError, match=r"images/val: no such folder"):
        open_custom(tmp_path, "val", task="semantic")


@pytest.mark.parametrize("side", [0, 70_000, 2**32 - 1])
def test_a_mask_that_claims_to_be_huge_is_refused(tmp_path, side):
    write_masks(tmp_path)
    path = tmp_path / "masks" / "val" / "a.png"
    data = path.read_bytes()
    path.write_bytes(data[:16] + side.to_bytes(4, "big") + data[20:])
    with pytest.raises(DataError, match=r"a\.png: is no PNG of at most 65535 pixels"):
        open_custom(tmp_path, "val", task="semantic")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "there must be some"),
        ({}, "no list 'categories'"),
        ([{"name": "road", "id": 1}], r"\[0\]: lacks the field 'isthing'"),
        ([CLASSES[0], CLASSES[0]], r"\[1\]: id 7 comes twice"),
        ([CLASSES[0], CLASSES[0] | {"id": 8}], "the name 'road' comes twice"),
        ([CLASSES[0] | {"id": 255}], "ids must lie in 0 to 254"),
    ],
)
def test_wrong_classes_are_named(tmp_path, content, message):
    write_masks(tmp_path)
    write_json(tmp_path / "classes.json", content)
    with pytest.raises(DataError, match=message) as raised:
        open_custom(tmp_path, "val", task="semantic")
    assert "classes.json: " in str(raised.value)


def test_json_of_neither_format_is_named(tmp_path):
    folder = write_panoptic(tmp_path)
    content = json.loads((folder / "val.json").read_text())
    for entry in content["annotations"]:
        del entry["segments_info"]
    write_json(folder / "val.json", content)
    with pytest.raises(DataError, match=r"val\.json: .*neither 'segments_info'"):
        open_custom(folder, "val")
