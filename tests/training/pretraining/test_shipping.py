"""The encoders that come with the package: what their records say, and found without a file."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from eomtlib.commands import main
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.words import OWN_SIZES, SHIPPED
from eomtlib.models import encoder_names
from eomtlib.models.build import build_model
from eomtlib.models.encoder_names import has_encoder, shipped_file
from eomtlib.models.encoders import build_encoder
from eomtlib.models.weights.encoder import load_pretrained, resolve_pretraining
from eomtlib.study.parameters.resolving import resolve_settings
from eomtlib.study.runs.materials import Materials
from eomtlib.training.pretraining import (
    PretrainingConfig,
    load_autoencoder,
    outcome,
    pretraining_hash,
    shipping,
)
from eomtlib.training.pretraining.probe import LinearProbe

RECORDS = Path("results/encoders").resolve()


@pytest.fixture(params=[size for size in OWN_SIZES if has_encoder(size, SHIPPED)])
def shipped(request):
    encoder = build_encoder(size=request.param, pretraining=SHIPPED, image_size=(64, 64))
    random = build_encoder(size=request.param, pretraining="none", image_size=(64, 64))
    assert load_pretrained(encoder, size=request.param, pretraining=SHIPPED) == (
        f"{request.param}.safetensors"
    )
    with safe_open(shipped_file(request.param), "pt") as file:
        record = records()[file.metadata()["hash"]]
    return encoder, random, record


def records():
    """Hash → record, of what ships and of what has taught it."""
    read = [json.loads(path.read_bytes()) for path in RECORDS.glob(f"{SHIPPED}-*.json")]
    return {record["hash"]: record for record in read}


def test_every_teacher_has_its_record_and_the_first_had_none(shipped):
    record, passed = shipped[2], []
    while record["config"].get("teacher"):
        passed.append(record["hash"])
        record = records()[record["teacher_hash"]]
        assert record["hash"] not in passed
        assert record["config"]["images"] == "shapes"
    assert record["config"]["size"] == "nano"
    assert record["method"].startswith("masked autoencoder")


def test_it_is_what_its_record_says(shipped, monkeypatch):
    encoder, random, record = shipped
    config = record["config"]
    assert config["images"] == "shapes"
    assert config["num_images"] == 0  # of neither split
    asked = PretrainingConfig(**config | {"image_size": tuple(config["image_size"])})
    path = shipped_file(config["size"])
    # Its teacher may have been replaced by what it has taught.
    monkeypatch.setattr(outcome, "written_hash", lambda weights: record["teacher_hash"])
    assert record["hash"] == pretraining_hash(asked)
    assert {value.dtype for value in load_file(path).values()} == {torch.float16}
    probe = LinearProbe(asked.image_size)
    found = probe(encoder).miou
    assert found == pytest.approx(record["probe"][-1]["miou"], abs=0.005)
    assert found > probe(random).miou + 0.15


def test_a_pretraining_is_shipped_at_16_bits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        shipping, "shipped_file", lambda size: tmp_path / "package" / f"{size}.safetensors"
    )
    small = ["--num-images", "8", "--steps", "1", "--batch-size", "2", "--results-dir", "here"]
    assert main(["pretrain", *small, "--ship"]) == 0
    (trained,) = tmp_path.rglob("encoder.safetensors")
    written = load_file(tmp_path / "package" / "nano.safetensors")
    for name, value in load_file(trained).items():
        assert torch.equal(written[name], value.half()), name
    record = tmp_path / "results" / "encoders" / f"{SHIPPED}-nano.json"
    assert record.read_bytes() == (trained.parent / "pretraining.json").read_bytes()
    assert load_autoencoder(trained)
    assert main(["pretrain", *small, "--ship", "--size", "small"]) == 2
    assert len(list(tmp_path.rglob("encoder.safetensors"))) == 1
    assert main(["pretrain", *small, "--ship", "--teacher", "micro"]) == 0
    assert sorted(path.name for path in record.parent.iterdir()) == [
        f"{SHIPPED}-nano-taught-by-micro.json",
        f"{SHIPPED}-nano.json",
    ]


def test_a_study_finds_it(tmp_path):
    given = {"size": "nano", "dataset": "shapes", "train_images": 2, "val_images": 2}

    def digest(**more):
        settings = resolve_settings(pretraining=SHIPPED, **given, **more)
        return Materials(settings, results_dir=tmp_path, progress=False).weights_digest

    of_package = digest()
    copy = tmp_path / "encoder.safetensors"
    copy.write_bytes(shipped_file("nano").read_bytes())
    assert of_package == digest(weights=copy) == digest(weights=tmp_path)
    built = build_model("pmt", size="nano", pretraining=SHIPPED, image_size=64, num_classes=3)
    for name, value in load_file(copy).items():
        assert torch.equal(built.encoder.backbone.state_dict()[name], value.float()), name
    larger = build_encoder(size="nano", pretraining=SHIPPED, image_size=(64, 96))
    assert load_pretrained(larger, size="nano", pretraining=SHIPPED)
    with pytest.raises(ConfigurationError, match="does not exist at size='giant', only at nano"):
        build_model("eomt", size="giant", pretraining=SHIPPED, image_size=64, num_classes=3)


def test_a_size_without_it_says_so_and_its_auto_is_random(tmp_path, monkeypatch):
    assert resolve_pretraining("auto", size="nano") == SHIPPED
    monkeypatch.setattr(encoder_names, "shipped_file", lambda size: tmp_path / size)
    assert resolve_pretraining("auto", size="nano") == "none"
    with pytest.raises(ConfigurationError, match="not exist at size='nano', only at none"):
        build_encoder(size="nano", pretraining=SHIPPED, image_size=(64, 64))
