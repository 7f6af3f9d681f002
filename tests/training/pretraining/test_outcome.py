"""Pretraining from start to use: it learns, survives a kill, and its file is the encoder."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from eomtlib.commands import main
from eomtlib.core.errors import CheckpointError, ConfigurationError, EomtlibError
from eomtlib.models.build import build_model
from eomtlib.models.encoders import build_encoder
from eomtlib.models.weights.encoder import load_pretrained
from eomtlib.training.pretraining import (
    default_config,
    load_autoencoder,
    outcome,
    pretrain,
    pretraining_hash,
    probe,
    reconstruct,
    reconstructions,
)
from eomtlib.training.pretraining.masked_autoencoder import build_autoencoder
from eomtlib.training.pretraining.unlabelled_images import open_stream

SHORT = {"num_images": 32, "steps": 12, "batch_size": 4}


def configuration(**given):
    given = {"size": "nano", "image_size": (64, 64), **SHORT, **given}
    return default_config(**given)


def batch(config, step=0):
    """The images of a step, ``[B, 3, H, W]`` uint8."""
    return next(iter(open_stream(config).loader(steps=step + 1, first_step=step))).images


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def weights(results):
    return pretrain(configuration(), results_dir=results, progress=False)


@pytest.fixture(scope="module")
def oblong(results):
    return pretrain(configuration(image_size=(32, 64), steps=1), results_dir=results)


def test_the_file_is_the_encoder_of_a_model(weights):
    model = build_model(
        "eomt", size="nano", pretraining="mim", image_size=64, num_classes=3, weights=weights
    )
    written = load_file(weights)
    built = model.encoder.backbone.state_dict()
    assert built.keys() == written.keys()
    for name, value in written.items():
        assert torch.equal(built[name], value), name
    with torch.device("meta"):
        untrained = build_encoder(size="nano", pretraining="none", image_size=(64, 64))
    assert untrained.backbone.state_dict().keys() == written.keys()


def test_the_whole_model_can_be_looked_at_again(weights, tmp_path):
    model = load_autoencoder(weights)
    images = batch(configuration())
    noise = torch.rand((4, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        trained = model(images, noise)
        assert trained < 0.8 * build_autoencoder(configuration())(images, noise)
    assert [part.shape for part in reconstruct(model, images, noise)] == [
        (4, 3, 64, 64),
        (4, 3, 64, 64),
    ]
    other = torch.full((3, 40, 80), 200, dtype=torch.uint8)
    pictures = reconstructions(weights, [other, images[0]])
    assert list(pictures) == ["image", "50% hidden", "reconstructed"]
    whole, seen, made = (np.stack(row) for row in pictures.values())
    assert whole.shape == seen.shape == made.shape == (2, 64, 64, 3)
    known = (whole == seen).reshape(2, 8, 8, 8, 8, 3).all(axis=(2, 4, 5))
    assert known[1].sum() == 32  # half of the patches
    assert (made[1] != whole[1]).any()
    alone = tmp_path / "encoder.safetensors"
    alone.write_bytes(weights.read_bytes())
    with pytest.raises(CheckpointError, match=r"pretraining\.json: does not say how"):
        load_autoencoder(alone)
    (tmp_path / "pretraining.json").write_bytes((weights.parent / "pretraining.json").read_bytes())
    with pytest.raises(CheckpointError, match=r"decoder\.safetensors: cannot be read"):
        load_autoencoder(alone)


def test_what_is_finished_is_found_and_not_repeated(weights, results, monkeypatch):
    monkeypatch.setattr(outcome, "open_stream", None)
    assert pretrain(configuration(), results_dir=results) == weights
    folder = f"mim-nano-shapes-64x64-12steps-seed0-{pretraining_hash(configuration())[:8]}"
    assert weights == results / "pretraining" / folder / "encoder.safetensors"


def test_the_record_says_how_it_was_made(weights, results):
    text = (weights.parent / "pretraining.json").read_text()
    record = json.loads(text)
    assert record["hash"] == pretraining_hash(configuration())
    assert record["config"] | SHORT == record["config"]
    assert record["steps"] == 12
    assert record["loss_curve"]["step"] == list(range(1, 13))
    assert record["final_loss"] == record["loss_curve"]["loss"][-1]
    assert record["wall_seconds"] > 0
    assert record["environment"]["torch"] == torch.__version__
    assert str(results) not in text
    assert sorted(path.name for path in weights.parent.iterdir()) == [
        "decoder.safetensors",
        "encoder.safetensors",
        "pretraining.json",
    ]


def test_it_learns(results):
    config = configuration(steps=40, batch_size=16, num_images=256)
    path = pretrain(config, results_dir=results, progress=False)
    losses = json.loads((path.parent / "pretraining.json").read_text())["loss_curve"]["loss"]
    shown = [drawn.images for drawn in open_stream(config).loader(steps=16)]
    targets = build_autoencoder(config).targets(torch.cat(shown))
    # To be better than each patch's mean, something must be known of its texture.
    assert sum(losses[-5:]) / 5 < 0.98 * targets.square().mean()
    assert min(losses[:3]) > targets.square().mean()


def test_a_killed_run_goes_on_to_the_same_weights(weights, tmp_path):
    script = (
        "from eomtlib.training.pretraining import default_config, pretrain\n"
        f"config = default_config(size='nano', image_size=(64, 64), **{SHORT!r})\n"
        f"pretrain(config, results_dir={str(tmp_path)!r}, progress=False, checkpoint_every=1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    checkpoint = tmp_path / "pretraining" / weights.parent.name / "resume.ckpt"
    deadline = time.monotonic() + 120
    while not checkpoint.is_file() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    step = torch.load(checkpoint, weights_only=True)["global_step"]
    assert 1 <= step < 12
    (checkpoint.parent / ".resume.ckpt.left.tmp").write_bytes(b"half a checkpoint")
    again = pretrain(configuration(), results_dir=tmp_path, progress=False)
    first, second = (
        json.loads((path.parent / "pretraining.json").read_text()) for path in (weights, again)
    )
    assert (first["resumes"], second["resumes"]) == (0, 1)
    assert second["loss_curve"] == first["loss_curve"]
    expected, resumed = load_file(weights), load_file(again)
    for name, value in expected.items():
        assert torch.equal(resumed[name], value), name
    assert len(list(again.parent.iterdir())) == 3


def test_the_record_holds_the_probes_of_what_was_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "_FIT", 40)
    monkeypatch.setattr(probe, "_JUDGED", 20)
    config = configuration(num_images=0, steps=5, probe_every=2)
    path = pretrain(config, results_dir=tmp_path, progress=False)
    record = json.loads((path.parent / "pretraining.json").read_text())
    assert record["images_seen"] == 20
    assert path.parent.name.startswith("mim-nano-shapes-64x64-5steps-seed0-")
    assert [row["step"] for row in record["probe"]] == [0, 2, 4, 5]
    score = probe.LinearProbe((64, 64))(load(path, (64, 64)))
    assert record["probe"][-1] == {"step": 5} | score._asdict()
    assert all(
        part.dtype == torch.uint8
        for part in reconstruct(load_autoencoder(path), batch(config), torch.rand(4, 64))
    )


def test_a_damaged_checkpoint_is_named_and_passed_over(weights, tmp_path):
    checkpoint = tmp_path / "pretraining" / weights.parent.name / "resume.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"no checkpoint")
    with pytest.warns(UserWarning, match=r"resume\.ckpt: cannot be gone on from"):
        again = pretrain(configuration(), results_dir=tmp_path, progress=False)
    for name, value in load_file(weights).items():
        assert torch.equal(load_file(again)[name], value), name


def test_a_loss_that_is_not_finite_is_said(tmp_path):
    with pytest.raises(EomtlibError, match=r"not finite near step \d+\. Lower lr=1e\+30"):
        pretrain(configuration(lr=1e30, steps=30), results_dir=tmp_path, progress=False)


def load(weights, image_size, size="nano"):
    encoder = build_encoder(size=size, pretraining="mim", image_size=image_size)
    said = load_pretrained(encoder, size=size, pretraining="mim", weights=weights)
    assert said == "encoder.safetensors"
    return encoder


@pytest.mark.parametrize("image_size", [(64, 64), (128, 32), (64, 32), (32, 64)])
def test_positions_follow_the_image_size(oblong, image_size):
    positions = load_file(oblong)["pos_embed"].reshape(1, 4, 8, 128)
    grid = (image_size[0] // 8, image_size[1] // 8)
    expected = positions.permute(0, 3, 1, 2)
    if grid != (4, 8):
        # timm's filter: bicubic with antialiasing.
        expected = F.interpolate(expected, grid, mode="bicubic", antialias=True)
    loaded = load(oblong.parent, image_size)  # the folder stands for its file
    torch.testing.assert_close(
        loaded.backbone.pos_embed[0].detach(), expected[0].flatten(1).T, rtol=1e-5, atol=1e-6
    )
    assert torch.equal(loaded.backbone.cls_token, load_file(oblong)["cls_token"])


def test_a_file_of_another_encoder_is_named(weights, oblong, tmp_path):
    with pytest.raises(CheckpointError, match=r"width 128 with patches of 8 × 8.*width 192"):
        load(weights, (64, 64), size="micro")
    with pytest.raises(CheckpointError, match=r"width 128 .*width 384 and patches of 16 × 16"):
        load(weights, (64, 64), size="small")
    bare = tmp_path / "bare.pth"
    torch.save(load_file(oblong), bare)
    with pytest.raises(CheckpointError, match=r"positions for 32 patches"):
        load(bare, (64, 64))
    torch.save({"pos_embed": torch.zeros(3)}, bare)
    with pytest.raises(CheckpointError, match=r"bare\.pth"):
        load(bare, (64, 64))


def test_without_weights_the_error_says_how_to_get_them(tmp_path):
    with pytest.raises(ConfigurationError, match=r"eomtlib pretrain --size nano"):
        load(None, (64, 64))
    with pytest.raises(ConfigurationError, match=r"holds none .*: encoder\.safetensors"):
        load(tmp_path, (64, 64))


def test_the_command_line_says_where_the_file_is_and_how_to_use_it(tmp_path, capsys):
    arguments = ["pretrain", "--size", "nano", "--device", "cpu", "--results-dir", str(tmp_path)]
    short = ["--num-images", "8", "--steps", "2", "--batch-size", "2", "--image-size", "32x64"]
    assert main([*arguments, *short]) == 0
    written = capsys.readouterr().out.split()
    weights = Path(written[1])
    assert weights.is_file()
    assert written[-9:] == [
        "-p",
        "size",
        "nano",
        *["-p", "pretraining", "mim", "-p", "weights"],
        written[1],
    ]
    assert main([*arguments, *short, "--images", str(tmp_path / "nowhere")]) == 2
    assert "eomtlib pretrain: images=" in capsys.readouterr().err
