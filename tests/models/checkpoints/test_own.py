import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from eomtlib.core.errors import CheckpointError
from eomtlib.core.structures import ClassInfo
from eomtlib.models.build import build_model
from eomtlib.models.checkpoints import ModelConfig, load_model, save_model
from eomtlib.models.ladder import LADDER

CONFIG = ModelConfig(
    rung="eomt",
    size="nano",
    pretraining="none",
    image_size=(64, 64),
    num_queries=5,
    masking="annealed",
    class_names=("disc", "stripes"),
    is_thing=(True, False),
)


def build(rung):
    return build_model(
        rung,
        size="nano",
        pretraining="none",
        image_size=64,
        num_classes=2,
        num_queries=5,
        masking=LADDER[rung].masking,
    ).eval()


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "model", build("eomt"), CONFIG)
    return tmp_path / "model"


@pytest.mark.parametrize("rung", LADDER)
@torch.no_grad()
def test_a_saved_model_predicts_the_same(rung, tmp_path):
    model = build(rung)
    config = ModelConfig(**{**CONFIG.__dict__, "rung": rung, "masking": LADDER[rung].masking})
    save_model(tmp_path / "model", model, config)
    loaded, loaded_config = load_model(tmp_path / "model")
    assert loaded_config == config
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(loaded.predict(images), model.predict(images), rtol=0, atol=0)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def _edit(folder, change):
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("queries"), "lacks entries: queries"),
        (lambda s: s.update(extra=torch.zeros(1)), "does not know: extra"),
        (lambda s: s.update(queries=torch.zeros(6, 128)), "queries is 6×128 .* 5×128"),
        (lambda s: s.update(queries=torch.full((5, 128), float("nan"))), "queries holds values"),
    ],
)
def test_entries_that_do_not_fit_are_named(folder, change, message):
    _edit(folder, change)
    with pytest.raises(CheckpointError, match=message):
        load_model(folder)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_queries", "5", "num_queries is '5', but must be a whole number"),
        ("image_size", [64], r"image_size is \[64\], but must be one or two whole numbers"),
        ("class_names", "disc", "class_names is 'disc', but must be a list of texts"),
        ("is_thing", [1, 0], "is_thing is .*, but must be a list of true and false"),
        ("rung", None, "it lacks rung"),
        ("class_colors", ["red", ""], "class_colors holds 'red'"),
    ],
)
def test_fields_of_a_configuration_are_checked(field, value, message, folder):
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {field: value}))
    with pytest.raises(CheckpointError, match=rf"config\.json: .*{message}"):
        load_model(folder)


def test_classes_that_differ_need_a_new_class_head(folder):
    classes = [ClassInfo(name, True, i) for i, name in enumerate(("cat", "dog", "tree"))]
    with pytest.raises(CheckpointError, match=r"2 classes \(disc, stripes.*new_class_head=True"):
        load_model(folder, classes=classes)
    model, config = load_model(folder, classes=classes, new_class_head=True)
    assert config.class_names == ("cat", "dog", "tree")
    assert config.is_thing == (True, True, True)
    before, _ = load_model(folder)
    changed = {
        name
        for name, value in model.state_dict().items()
        if value.shape != before.state_dict()[name].shape
        or not torch.equal(value, before.state_dict()[name])
    }
    assert changed == {"mask_module.class_head.weight", "mask_module.class_head.bias"}


def test_colours_of_classes_go_along(folder, tmp_path):
    classes = [ClassInfo("cat", True, 7, (1, 2, 255)), ClassInfo("dog", False, 9)]
    model, config = load_model(folder, classes=classes, new_class_head=True)
    save_model(tmp_path / "new", model, config)
    _, found = load_model(tmp_path / "new")
    assert [info.color for info in found.classes(found.is_thing)] == [(1, 2, 255), None]
    _, without = load_model(folder)
    assert [info.color for info in without.classes(without.is_thing)] == [None, None]


def test_another_image_size_resamples_positions(folder):
    model, config = load_model(folder, image_size=(96, 64))
    assert config.image_size == (96, 64)
    assert model.predict(torch.zeros(1, 3, 96, 64))[0].shape == (1, 5, 24, 16)


def test_a_truncated_file_a_missing_and_a_foreign_configuration(folder, tmp_path):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"model.safetensors: cannot be read"):
        load_model(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(CheckpointError, match=r"config.json: is no configuration"):
        load_model(folder)
    with pytest.raises(CheckpointError, match=r"nowhere: does not exist"):
        load_model(tmp_path / "nowhere")
