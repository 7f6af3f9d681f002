import numpy as np
import pytest
import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.models.ladder import LADDER
from eomtlib.study.parameters import parsing
from eomtlib.study.parameters.defaults import default_queries
from eomtlib.study.parameters.parsing import parse_image_size, parse_rungs
from eomtlib.study.parameters.resolving import resolve_settings
from eomtlib.study.parameters.settings import Settings, StudyParameters, parameters_of


def test_size_alone_is_enough_and_a_short_run_says_so():
    nano = resolve_settings(size="nano", device="cpu")
    assert (nano.pretraining, nano.image_size, nano.label) == ("shapes-ssl", (64, 64), "")
    large = resolve_settings(size="large", device="cpu", pretraining="none")
    assert large.cost_image_size == (640, 640)
    assert large.label.startswith("short training: 20 steps")
    coco = resolve_settings(
        size="small", device="cpu", pretraining="none", dataset="coco", duration="20steps"
    )
    assert coco.image_size == (640, 640)


@pytest.mark.parametrize(
    ("duration", "batch_size", "is_short"),
    [
        ("12epochs", 16, False),
        ("88692steps", 16, False),  # the paper's, of 7,391 an epoch
        ("88692steps", 8, True),
        ("80000steps", 16, True),
        ("11epochs", 16, True),
        ("600min", 16, True),
    ],
)
def test_a_schedule_is_full_in_epochs_and_in_steps(duration, batch_size, is_short):
    settings = resolve_settings(
        size="large",
        dataset="coco",
        pretraining="none",
        duration=duration,
        batch_size=batch_size,
        device="cpu",
    )
    assert bool(settings.label) is is_short


def test_what_papermill_hands_over_is_understood():
    settings = resolve_settings(
        device="cpu", image_size="64x96", duration=20, batch_size=0, val_images=-1, weights=""
    )
    assert settings.image_size == (64, 96)
    assert settings.duration == "20steps"
    assert (settings.batch_size, settings.val_images, settings.weights) == (8, 200, None)
    assert parse_rungs("eomt, single-scale") == ("single-scale", "eomt")
    assert parse_rungs("all") == tuple(LADDER)
    assert parse_image_size(128.0) == (128, 128)


def test_what_numpy_and_yaml_hand_over_is_understood():
    given = {
        "image_size": np.int64(64),
        "duration": np.int32(20),
        "taps": np.array([1, 5]),
        "timing_modes": ("eager",),
        "compile": np.False_,
        "size": np.str_("nano"),
        "device": "cpu",
        "val_images": np.float64(3),
    }
    settings = resolve_settings(**given)
    assert (settings.image_size, settings.duration, settings.taps) == ((64, 64), "20steps", (1, 5))
    assert (settings.compile, settings.val_images, settings.size) == (False, 3, "nano")
    study = StudyParameters(seeds=np.arange(2), rungs=["eomt"], results_dir=5, wait=None)
    assert (study.seeds, study.rungs, study.wait) == ((0, 1), ("eomt",), True)
    assert study.results_dir.name == "5"
    assert StudyParameters(seeds=3, rungs="None").seeds == (3,)


@pytest.mark.parametrize("cls", [Settings, StudyParameters])
def test_none_is_the_default_of_every_parameter(cls):
    assert cls(**dict.fromkeys(parameters_of(cls))) == cls()
    assert cls(**dict.fromkeys(parameters_of(cls), "null")) == cls()


@pytest.mark.parametrize("value", [True, False, 64.9, float("inf"), float("nan"), {}, {"a": 1}])
@pytest.mark.parametrize("name", [*parameters_of(Settings), *parameters_of(StudyParameters)])
def test_every_value_is_understood_or_refused_by_name(name, value):
    cls = Settings if name in parameters_of(Settings) else StudyParameters
    switches = ("compile", "activation_checkpointing", "lateral_connections")
    if isinstance(value, bool) and name in (*switches, "train", "wait"):
        assert getattr(cls(**{name: value}), name) is value
        return
    # Folders are called anything, and devices are looked for later.
    texts = ("data_path", "weights", "checkpoint", "results_dir", "device", "pretraining_images")
    if isinstance(value, float) and name in texts:
        assert str(value) in str(getattr(cls(**{name: value}), name))
        return
    if name in ("overrides", "vary") and value == {}:
        assert getattr(cls(**{name: value}), name) == ""
        return
    with pytest.raises(ConfigurationError, match=rf"^{name}="):
        cls(**{name: value})


def test_relative_paths_are_the_projects_in_any_of_its_folders(tmp_path, monkeypatch):
    for folder in ("results/paper", "notebooks", "streets"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("notebooks", "."):
        monkeypatch.chdir(tmp_path / folder)
        assert Settings(data_path="streets").data_path == tmp_path / "streets"
        assert StudyParameters(results_dir="new").results_dir == tmp_path / "new"
    monkeypatch.chdir(tmp_path / "streets")
    (tmp_path / "streets" / "own").mkdir()
    assert Settings(data_path="own").data_path.resolve() == tmp_path / "streets" / "own"


def test_as_many_images_are_drawn_as_are_evaluated_on():
    assert resolve_settings(device="cpu", val_images=1000).drawn_val_images == 1000
    assert resolve_settings(device="cpu", val_images=3).drawn_val_images == 200


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"size": "nanoo"}, r"size='nanoo'.*'nano'"),
        ({"dataset": "cocoo"}, r"dataset='cocoo'.*'coco'"),
        ({"pretraining": "dino2"}, r"pretraining='dino2'.*'dinov2'"),
        ({"size": "nano", "pretraining": "dinov2"}, r"dinov2.*nano.*pretraining='none'"),
        ({"duration": "5 parsecs"}, r"duration='5 parsecs'.*'300steps'"),
        ({"duration": "0.5steps"}, r"duration='0.5steps'"),
        ({"checkpoint_every": "often"}, r"checkpoint_every='often'"),
        ({"image_size": "wide"}, r"image_size='wide'.*640"),
        ({"device": "cuda:99"}, r"device='cuda:99'.*'auto'"),
        ({"loggers": "csv,tensorbord"}, r"loggers='tensorbord'.*'tensorboard'"),
        ({"batch_size": -4}, "batch_size=-4.*at least 1"),
        ({"seed": -1}, "seed=-1.*at least 0"),
        ({"val_images": "many"}, "val_images='many'"),
        ({"precision": "float16"}, "float16.*GPU.*'bfloat16'"),
        ({"timing_modes": "eager,cuda-graph"}, "timing_modes='cuda-graph' needs CUDA.*'eager'"),
        ({"samplers": "pytorch,tritn"}, "samplers='tritn'.*'triton'"),
        ({"samplers": "triton"}, "samplers='triton' needs (a GPU|the package).*'pytorch'"),
    ],
)
def test_bad_parameters_are_named_with_the_fix(parameters, message):
    with pytest.raises(ConfigurationError, match=message):
        resolve_settings(**{"device": "cpu", **parameters})


def test_a_logger_that_is_not_installed_is_named_with_the_fix(monkeypatch):
    monkeypatch.setattr(parsing, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"loggers='wandb'.*pip install wandb"):
        resolve_settings(device="cpu", loggers="wandb")


def test_unknown_rung_and_an_empty_list():
    with pytest.raises(ConfigurationError, match=r"rungs='eomtt'.*'eomt'"):
        parse_rungs("eomtt")
    with pytest.raises(ConfigurationError, match="rungs is empty"):
        parse_rungs("")


def test_a_gpu_of_another_maker_gets_what_a_laptop_gets(monkeypatch):
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    settings = resolve_settings(device="mps", dataset="coco", size="large", pretraining="none")
    cpu = resolve_settings(device="cpu", dataset="coco", size="large", pretraining="none")
    for name in ("duration", "batch_size", "precision", "compile", "timing_modes", "samplers"):
        assert getattr(settings, name) == getattr(cpu, name)
    assert settings.kind == "mps"
    with pytest.raises(ConfigurationError, match="needs CUDA"):
        resolve_settings(device="mps", timing_modes="cuda-graph")


@pytest.mark.parametrize(
    ("size", "task", "dataset", "classes", "queries"),
    [
        # Published ones, which runs have been found by.
        ("nano", "panoptic", "shapes", 13, 20),
        ("nano", "instance", "shapes", 8, 20),
        ("nano", "semantic", "shapes", 13, 10),
        ("micro", "semantic", "cityscapes", 19, 10),
        ("large", "panoptic", "coco", 133, 200),
        ("large", "semantic", "ade20k", 150, 100),
        # One's own.
        ("nano", "panoptic", "custom", 60, 20),
        ("nano", "semantic", "custom", 10, 10),
        ("nano", "semantic", "custom", 11, 16),
        ("large", "semantic", "custom", 99, 100),
        ("large", "semantic", "custom", 150, 155),
    ],
)
def test_queries_follow_the_classes_of_ones_own_semantic_data(
    size, task, dataset, classes, queries
):
    assert default_queries(size, task, dataset, classes) == queries
