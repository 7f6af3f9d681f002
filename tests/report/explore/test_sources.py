from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from eomtlib.core.errors import CheckpointError, ConfigurationError, DataError
from eomtlib.core.machine.environment import environment
from eomtlib.core.structures import ClassInfo
from eomtlib.data.registry import open_dataset
from eomtlib.models.checkpoints import ModelConfig
from eomtlib.report.explore import (
    Inspector,
    finished_runs,
    given_checkpoints,
    open_pictures,
    told_once,
)
from eomtlib.report.explore.inspector import named_classes
from eomtlib.report.explore.sources import own_pictures
from eomtlib.study.records.store import ResultStore
from tests.report.explore.samples import image_file, saved
from tests.samples import training

CLASSES = (ClassInfo("disc", True, 1), ClassInfo("sky", False, 2))


def run(store, rung, *, duration="300steps", seed=0, pretraining="none", created, **more):
    """A finished run's record, and what marks its checkpoint."""
    config = {"rung": rung, "duration": duration, "seed": seed, "recipe": {"of": rung}} | more
    name = f"runs/{rung}-{duration}-{seed}-{pretraining}{len(more)}/model"
    (store.root / name).mkdir(parents=True)
    store.write(
        training(
            rung=rung,
            pretraining=pretraining,
            environment=environment("cpu"),
            created=f"2026-01-0{created}T00:00:00+00:00",
            config=config,
            image_size=(64, 64),
            seed=seed,
            checkpoint=name,
        )
    )


def test_finished_runs_are_the_newest_ones_that_belong_together(tmp_path):
    store = ResultStore(tmp_path)
    run(store, "eomt", duration="4steps", created=1)
    run(store, "eomt", created=2)
    run(store, "pmt", duration="4steps", created=3)
    run(store, "single-scale", created=4)
    run(store, "eomt", created=5, seed=1)
    found = finished_runs(store, size="nano", dataset="shapes")
    assert [model.rung for model in found] == ["single-scale", "eomt"]
    assert found[0].title == "without multi-scale features (nano, pretraining none, seed 0)"
    assert found[1].path == tmp_path / "runs" / "eomt-300steps-0-none0" / "model"

    def rungs(**options):
        return [m.rung for m in finished_runs(store, size="nano", dataset="shapes", **options)]

    assert rungs(rungs="eomt,pmt") == ["eomt", "pmt"]  # the newest is of 4 steps
    assert rungs(rungs="vit-adapter-m2f") == []
    assert rungs(duration=4) == ["eomt", "pmt"]
    assert rungs(seed=1) == ["eomt"]
    assert rungs(image_size=64) == ["single-scale", "eomt"]
    assert rungs(image_size=96) == rungs(pretraining="dinov2") == []
    assert finished_runs(ResultStore(tmp_path / "none"), size="nano", dataset="shapes") == []


def test_a_rung_as_published_goes_before_a_newer_variant(tmp_path):
    store = ResultStore(tmp_path)
    run(store, "eomt", created=1)
    run(store, "eomt", created=2, options={"masking": "unmasked"})
    (found,) = finished_runs(store, rungs="eomt", size="nano", dataset="shapes")
    assert found.path.parent.name == "eomt-300steps-0-none0"


def test_a_study_goes_before_an_odd_run_that_is_newer(tmp_path):
    store = ResultStore(tmp_path)
    for number, rung in enumerate(("single-scale", "eomt", "pmt"), 1):
        run(store, rung, created=number)
    run(store, "pmt", duration="9steps", created=5)
    found = finished_runs(store, size="nano", dataset="shapes")
    assert [model.rung for model in found] == ["single-scale", "eomt", "pmt"]
    names, shared = told_once(found)
    assert names == ["without multi-scale features", "EoMT", "PMT"]
    assert shared == "nano, pretraining none, seed 0"
    assert told_once([found[1], replace(found[1], details=("nano", "seed 1"))]) == (
        ["EoMT (pretraining none, seed 0)", "EoMT (seed 1)"],
        "nano",
    )


def test_checkpoints_are_told_apart(tmp_path):
    first, second = saved(tmp_path / "mine" / "model"), saved(tmp_path / "yours" / "model")
    models = given_checkpoints(f"{first}, {second},")
    assert [model.title for model in models] == [
        "EoMT (nano, pretraining none, mine)",
        "EoMT (nano, pretraining none, yours)",
    ]
    assert given_checkpoints(str(first))[0].title == "EoMT (nano, pretraining none)"


def test_a_checkpoint_may_be_a_run_by_its_name(tmp_path):
    saved(tmp_path / "eomt-nano-1a" / "model")
    ResultStore(tmp_path).write(training(checkpoint="eomt-nano-1a/model"))
    (model,) = given_checkpoints("eomt-nano", results_dir=tmp_path)
    assert model.path == tmp_path / "eomt-nano-1a"
    with pytest.raises(ConfigurationError, match="Did you mean eomt-nano-1a"):
        given_checkpoints("eont-nano", results_dir=tmp_path)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere: does not exist"):
        given_checkpoints(str(tmp_path / "nowhere"))
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        given_checkpoints(str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"images=.*missing\.jpg does not exist"):
        own_pictures(str(tmp_path / "missing.jpg"), 4)
    with pytest.raises(ConfigurationError, match=r"images: .*holds no image"):
        own_pictures(str(tmp_path), 4)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png: cannot be decoded"):
        own_pictures(str(broken), 4)


def test_own_images_are_upright_and_of_a_bearable_size(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown turned by a quarter
    image_file(tmp_path / "a.jpg", exif=turned)
    image_file(tmp_path / "b.png", size=(3000, 1500))
    image_file(tmp_path / "c.PNG")
    (tmp_path / "notes.txt").write_text("no image")
    grey = np.full((4, 6), 32768, np.uint16)
    Image.fromarray(grey).save(tmp_path / "d.png")
    assert (own_pictures(str(tmp_path / "d.png"), 1)[0].pixels == 128).all()
    pictures = own_pictures(str(tmp_path), 2)
    assert [picture.title for picture in pictures] == ["a.jpg", "b.png"]
    assert [picture.size for picture in pictures] == [(40, 30), (512, 1024)]
    assert pictures[0].target is None
    assert len(own_pictures(f"{tmp_path / 'a.jpg'}, {tmp_path / 'c.PNG'}", 1)) == 2


def test_validation_images_are_those_of_a_full_set(tmp_path):
    pictures, classes = open_pictures(
        "", dataset="shapes", data_path=tmp_path, image_size=(32, 32), count=2
    )
    full = open_dataset(
        "shapes", "val", data_path=tmp_path, image_size=32, train_images=3, val_images=5
    )
    assert classes == full.classes
    for index, picture in enumerate(pictures):
        image, target = full.read(index)
        assert (picture.pixels == image.permute(1, 2, 0).numpy()).all()
        assert (picture.target.ids == target.ids[0].numpy()).all()
        assert picture.target.labels == tuple(target.labels.tolist())
    with pytest.raises(ConfigurationError, match="num_images=0"):
        open_pictures("", dataset="shapes", data_path=tmp_path, image_size=(32, 32), count=0)


def test_own_images_need_no_data_set(tmp_path):
    path = image_file(tmp_path / "a.png")
    pictures, classes = open_pictures(
        str(path), dataset="coco", data_path="", image_size=(64, 64), count=1
    )
    assert len(pictures) == 1
    assert classes == ()


def test_names_come_from_the_checkpoint_or_else_from_the_data_set():
    def config(names, is_thing):
        return ModelConfig("eomt", "nano", "none", (64, 64), 4, "annealed", names, is_thing)

    own = named_classes(config(("disc", "sky"), (True, False)), CLASSES[:1])
    assert [(info.name, info.is_thing) for info in own] == [("disc", True), ("sky", False)]
    assert named_classes(config(("class 0", "class 1"), None), CLASSES) == CLASSES
    released = named_classes(config(tuple(f"class {i}" for i in range(133)), None))
    assert sum(info.is_thing for info in released) == 80


def test_each_model_is_loaded_once_for_all_pictures(tmp_path, monkeypatch):
    models = given_checkpoints(f"{saved(tmp_path / 'a')},{saved(tmp_path / 'b', 'eomt-masked')}")
    pictures = own_pictures(f"{image_file(tmp_path / 'a.png')},{image_file(tmp_path / 'b.png')}", 2)
    loads = []
    load = type(models[0]).load
    monkeypatch.setattr(
        type(models[0]), "load", lambda self, **given: loads.append(self) or load(self, **given)
    )
    inspector = Inspector(models, pictures)
    inspector.run_all()
    assert len(loads) == 2
    seen = inspector.of_picture(1)
    assert len(loads) == 2
    assert [inspection.picture.title for inspection in seen] == ["b.png", "b.png"]
    assert [inspection.title for inspection in seen] == ["EoMT", "EoMT with masking"]
    assert {inspection.details for inspection in seen} == {"nano, pretraining none"}
    assert inspector.preferred() == 0
