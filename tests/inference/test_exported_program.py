"""A model as a file that runs without this library."""

import json
import subprocess
import sys

import pytest
import torch

from eomtlib.commands import main
from eomtlib.core.errors import ConfigurationError
from eomtlib.inference.exported_program import ABOUT_FILE, export_program
from eomtlib.models.build import build_model
from eomtlib.models.checkpoints import ModelConfig, save_model
from eomtlib.models.ladder import LADDER

ALONE = """
import sys, torch
images, *wanted = torch.load(sys.argv[2], weights_only=True)
found = torch.export.load(sys.argv[1]).module()(images)
torch.testing.assert_close(list(found), wanted, rtol=1e-4, atol=1e-4)
assert not any(name.partition(".")[0] in ("eomtlib", "timm") for name in sys.modules)
"""


def tiny(rung, pretraining="none", size="nano"):
    torch.manual_seed(0)
    model = build_model(
        rung,
        size=size,
        pretraining=pretraining,
        load_weights=False,
        image_size=(64, 96),
        num_classes=7,
        num_queries=9,
    )
    return model.eval()


def random_images(count):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 64, 96), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("rung", LADDER)
def test_a_program_of_every_rung_predicts_what_the_model_predicts(rung, tmp_path):
    model, images = tiny(rung), random_images(1)
    export_program(model, tmp_path / "model.pt2")
    found = torch.export.load(tmp_path / "model.pt2").module()(images)
    with torch.inference_mode():
        torch.testing.assert_close(found, model.predict(images), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("pretraining", ["eva02", "dinov3", "deit3-in21k"])
def test_rotary_encoders_are_exported_too(pretraining, tmp_path):
    model, images = tiny("eomt", pretraining, "small"), random_images(1)
    export_program(model, tmp_path / "model.pt2")
    found = torch.export.load(tmp_path / "model.pt2").module()(images)
    with torch.inference_mode():
        torch.testing.assert_close(found, model.predict(images), rtol=1e-4, atol=1e-4)


def test_the_verb_writes_a_file_that_runs_where_this_library_is_not(tmp_path, capsys):
    model, images = tiny("eomt"), random_images(2)
    config = ModelConfig(
        rung="eomt",
        size="nano",
        pretraining="none",
        image_size=(64, 96),
        num_queries=9,
        class_names=tuple("abcdefg"),
        is_thing=None,
        task="panoptic",
        masking="annealed",
    )
    save_model(tmp_path / "model", model, config)
    output = tmp_path / "model.pt2"
    arguments = ["export", "--checkpoint", tmp_path / "model", "--output", output]
    arguments = [*map(str, arguments), "--batch-size=2", "--device=cpu"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "[2, 3, 64, 96] uint8" in said
    scope = {"torch": torch, "json": json}
    *_, load, names = (line.strip() for line in said.splitlines())
    exec(load, scope)  # as it is told
    assert eval(names, scope) == list("abcdefg")
    with torch.inference_mode():
        torch.save([images, *model.predict(images)], tmp_path / "wanted")
    command = [sys.executable, "-c", ALONE, str(output), str(tmp_path / "wanted")]
    subprocess.run(command, check=True, timeout=300, cwd=tmp_path)
    extra = {ABOUT_FILE: ""}
    torch.export.load(output, extra_files=extra)
    about = json.loads(extra[ABOUT_FILE])
    assert about["class_names"] == list("abcdefg")
    assert (about["rung"], about["batch_size"]) == ("eomt", 2)
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err


def test_bfloat16_is_part_of_the_program(tmp_path):
    model, images = tiny("eomt"), random_images(1)
    export_program(model, tmp_path / "model.pt2", precision="bfloat16")
    masks, classes = torch.export.load(tmp_path / "model.pt2").module()(images)
    with torch.inference_mode():
        wanted, _ = model.predict(images)
        with torch.autocast("cpu", torch.bfloat16):
            rounded, _ = model.predict(images)
    assert masks.dtype == classes.dtype == torch.float32
    apart = (masks - wanted).abs().mean()
    assert 0 < apart < 3 * (rounded.float() - wanted).abs().mean()


def test_what_cannot_be_exported_is_said(tmp_path):
    with pytest.raises(ConfigurationError, match="batch_size=0"):
        export_program(tiny("eomt"), tmp_path / "model.pt2", batch_size=0)
    with pytest.raises(ConfigurationError, match="precision='int8'"):
        export_program(tiny("eomt"), tmp_path / "model.pt2", precision="int8")
    assert not list(tmp_path.iterdir())
