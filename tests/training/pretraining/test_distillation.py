"""A teacher's features: the loss by timm's own forward pass, what is trained, what is refused."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from eomtlib.commands import main
from eomtlib.core.errors import CheckpointError, ConfigurationError
from eomtlib.core.words import SHIPPED
from eomtlib.models.encoder_names import shipped_file
from eomtlib.models.encoders import build_encoder
from eomtlib.models.weights.encoder import load_pretrained
from eomtlib.training.pretraining import (
    default_config,
    load_autoencoder,
    outcome,
    pretrain,
    pretraining_hash,
)
from eomtlib.training.pretraining.distillation import build_distillation
from eomtlib.training.pretraining.module import PretrainingModule
from eomtlib.training.pretraining.unlabelled_images import open_stream

SHORT = {"num_images": 64, "steps": 30, "batch_size": 8}


def configuration(**given):
    taught = {"size": "micro", "teacher": "nano", "image_size": (64, 64)}
    return default_config(**taught | SHORT | given)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return pretrain(configuration(), results_dir=tmp_path_factory.mktemp("taught"), progress=False)


@pytest.fixture(scope="module")
def images():
    return next(iter(open_stream(configuration()).loader(steps=1))).images


def by_timm(encoder, images):
    """Patch features of timm's own forward pass."""
    normalized = (images.float() - encoder.mean) / encoder.std
    return encoder.backbone.forward_features(normalized)[:, encoder.num_prefix :]


def test_the_loss_is_the_squared_distance_to_whitened_features(images):
    torch.manual_seed(0)
    model = build_distillation(configuration())
    with torch.no_grad():
        found = model(images)
        wanted = by_timm(model.teacher, images)
        predicted = by_timm(model.encoder, images) @ model.head.weight.T + model.head.bias
    deviation = (wanted.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    white = (wanted - wanted.mean(-1, keepdim=True)) / deviation
    assert float(found) == pytest.approx(float((predicted - white).square().mean()), rel=1e-4)


def test_the_teacher_is_the_encoder_that_ships_and_stays_so(images):
    model = build_distillation(configuration())
    shipped = build_encoder(size="nano", pretraining=SHIPPED, image_size=(64, 64))
    load_pretrained(shipped, size="nano", pretraining=SHIPPED)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(images)
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(value.grad is None for value in model.teacher.parameters())
    assert all(value.grad.isfinite().all() for value in model.head.parameters())
    taught_by = model.teacher.backbone.state_dict()
    for name, value in shipped.backbone.state_dict().items():
        assert torch.equal(taught_by[name], value), name


def test_it_learns_and_its_file_is_an_encoder(weights):
    record = json.loads((weights.parent / "pretraining.json").read_text())
    losses = record["loss_curve"]["loss"]
    # 1 is what the mean of whitened features comes to.
    assert sum(losses[-5:]) / 5 < 0.9 < losses[0]
    assert record["method"].startswith("feature distillation")
    assert record["config"]["teacher"] == "nano"
    with safe_open(shipped_file("nano"), "pt") as file:
        assert record["teacher_hash"] == file.metadata()["hash"]
    encoder = build_encoder(size="micro", pretraining="mim", image_size=(64, 64))
    load_pretrained(encoder, size="micro", pretraining="mim", weights=weights)
    for name, value in load_file(weights).items():
        assert torch.equal(encoder.backbone.state_dict()[name], value), name
    assert sorted(path.name for path in weights.parent.iterdir()) == [
        "encoder.safetensors",
        "pretraining.json",
    ]


def test_it_makes_no_images(weights):
    with pytest.raises(CheckpointError, match=r"teacher='nano', so there is no decoder"):
        load_autoencoder(weights)


def test_an_interrupted_one_goes_on_to_the_same_weights(weights, tmp_path, monkeypatch):
    def stopped(self, images, batch_idx, step=PretrainingModule.training_step):
        if self.global_step == 17:
            raise KeyboardInterrupt
        return step(self, images, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(PretrainingModule, "training_step", stopped)
        with pytest.raises(KeyboardInterrupt):
            pretrain(configuration(), results_dir=tmp_path, progress=False, checkpoint_every="10")
    again = pretrain(configuration(), results_dir=tmp_path, progress=False)
    assert json.loads((again.parent / "pretraining.json").read_text())["resumes"] == 1
    for name, value in load_file(weights).items():
        assert torch.equal(load_file(again)[name], value), name


def test_what_decides_is_in_the_hash(monkeypatch):
    found = pretraining_hash(configuration())
    assert found != pretraining_hash(configuration(teacher=""))
    assert found == pretraining_hash(configuration(mask_ratio=0.75))  # nothing is hidden
    assert found != pretraining_hash(configuration(lr=1e-3))
    monkeypatch.setattr(outcome, "written_hash", lambda weights: "another")
    assert found != pretraining_hash(configuration())


def test_the_defaults_are_those_that_made_what_ships():
    # The teacher of what ships at micro does not ship: at nano, what it has taught does.
    asked = default_config(size="nano", image_size=(64, 64), teacher="micro", num_images=0)
    with safe_open(shipped_file("nano"), "pt") as file:
        assert pretraining_hash(asked) == file.metadata()["hash"]


def test_a_teacher_that_cannot_be_followed_is_refused(capsys):
    with pytest.raises(ConfigurationError, match=r"teacher='base' .*nano"):
        configuration(teacher="base")
    with pytest.raises(ConfigurationError, match=r"patches of 8 pixels, and size='small' of 16"):
        configuration(size="small")
    assert main(["pretrain", "--size", "nano", "--teacher", "nano", "--ship"]) == 2
    assert "teacher='nano' is of the size that is to ship" in capsys.readouterr().err
    assert main(["pretrain", "--size", "micro", "--teacher", "big"]) == 2
    assert "eomtlib pretrain: teacher='big'" in capsys.readouterr().err
