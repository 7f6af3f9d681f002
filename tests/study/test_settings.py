import pytest

from eomtlib.core.errors import ConfigurationError
from eomtlib.models.ladder import LADDER
from eomtlib.study.parsing import parse_image_size, parse_rungs
from eomtlib.study.settings import resolve_settings


def test_size_alone_is_enough_and_a_short_run_says_so():
    nano = resolve_settings(size="nano", device="cpu")
    assert (nano.pretraining, nano.image_size, nano.label) == ("none", (64, 64), "")
    large = resolve_settings(size="large", device="cpu", pretraining="none")
    assert large.cost_image_size == (640, 640)
    assert large.label.startswith("short training: 20steps")
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
        ({"precision": "bfloat16", "compile": "yes"}, "compile.*float32"),
        ({"precision": "float16"}, "float16.*GPU.*'bfloat16'"),
        ({"timing_modes": "eager,cuda-graph"}, "timing_modes='cuda-graph' needs a GPU.*'eager'"),
        ({"samplers": "pytorch,tritn"}, "samplers='tritn'.*'triton'"),
        ({"samplers": "triton"}, "samplers='triton' needs (a GPU|the package).*'pytorch'"),
        ({"loggers": "wandb"}, "loggers='wandb'.*pip install wandb"),
    ],
)
def test_bad_parameters_are_named_with_the_fix(parameters, message):
    with pytest.raises(ConfigurationError, match=message):
        resolve_settings(**{"device": "cpu", **parameters})


def test_unknown_rung_and_an_empty_list():
    with pytest.raises(ConfigurationError, match=r"rungs='eomtt'.*'eomt'"):
        parse_rungs("eomtt")
    with pytest.raises(ConfigurationError, match="rungs is empty"):
        parse_rungs("")
