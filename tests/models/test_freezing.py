"""What is frozen learns nothing and needs no memory to learn."""

import json

import pytest
import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.models.build import build_model
from eomtlib.models.checkpoints.fields import Fields
from eomtlib.models.checkpoints.own import read_config
from eomtlib.models.ladder import LADDER
from eomtlib.study.records.keys import TrainingKey
from eomtlib.training.hyperparameters import OptimizerConfig
from eomtlib.training.optimization import build_optimizer

DEPTH = 6


def tiny(rung, pretraining="none", **options):
    return build_model(
        rung,
        size="nano",
        pretraining=pretraining,
        image_size=(32, 64),
        num_classes=3,
        num_queries=5,
        **options,
    ).train()


def trained(model):
    """Runs a step and returns the names of the parameters that have a gradient."""
    with torch.no_grad():
        for parameter in model.parameters():
            # What starts at zero passes no gradient on to what stands before it.
            if parameter.requires_grad and not parameter.any():
                parameter.copy_(0.1 * torch.randn_like(parameter))
    predictions = model(torch.rand(2, 3, 32, 64) * 255)
    tensors = (*predictions.mask_logits, *predictions.class_logits)
    sum((t * torch.linspace(-1, 1, t.numel()).view(t.shape)).mean() for t in tensors).backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def is_frozen(name, freeze):
    """Whether the encoder's part of this name is, said once more."""
    if not name.startswith("encoder.") or freeze == "none":
        return False
    if freeze == "encoder":
        return True
    if ".blocks." in name:
        return int(name.split(".blocks.")[1].split(".")[0]) < int(freeze)
    return "norm" not in name


@pytest.mark.parametrize("freeze", ["encoder", "none", "2", "6"])
@pytest.mark.parametrize("rung", LADDER)
def test_what_is_frozen_gets_no_gradient_and_stays_in_eval_mode(rung, freeze):
    model = tiny(rung, freeze=freeze)
    reached = trained(model)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != is_frozen(name, freeze), name
        assert (name in reached) == parameter.requires_grad, name
    blocks = model.encoder.backbone.blocks
    modes = [not is_frozen(f"encoder.backbone.blocks.{k}.x", freeze) for k in range(DEPTH)]
    assert [block.training for block in blocks] == modes
    assert model.encoder.backbone.patch_embed.training == (freeze == "none")
    optimizer, _ = build_optimizer(model, OptimizerConfig(), total_steps=3)
    optimizer.step()
    learns = {id(p) for p in model.parameters() if p.requires_grad}
    assert {id(p) for p in optimizer.state} == learns
    model.eval().train()
    assert [block.training for block in blocks] == modes


# The first block whose input needs a gradient, where the whole encoder is frozen: where queries
# join it, or where an adapter writes into it; none where nothing does.
FIRST_WITH_GRAPH = {"vit-adapter-m2f": 0, "eomt-masked": 3, "eomt": 3}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("rung", LADDER)
def test_blocks_before_the_first_trained_input_have_no_graph(rung, checkpointing):
    model = tiny(rung, freeze="encoder")
    model.encoder.activation_checkpointing = checkpointing
    graphs = {}
    for index, block in enumerate(model.encoder.backbone.blocks):
        block.register_forward_hook(
            lambda _, __, out, index=index: graphs.update({index: out.requires_grad})
        )
    trained(model)
    first = FIRST_WITH_GRAPH.get(rung, DEPTH)
    assert [graphs[index] for index in sorted(graphs)] == [k >= first for k in range(len(graphs))]


def test_blocks_behind_the_last_tap_are_frozen_where_the_encoder_is_not():
    model = tiny("pmt", freeze="none", taps=(1, 3))
    reached = trained(model)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name in reached), name
    assert "encoder.backbone.blocks.3.mlp.fc1.weight" in reached
    assert "encoder.backbone.blocks.4.mlp.fc1.weight" not in reached


@pytest.mark.parametrize("wrong", ["7", "-1"])
def test_a_number_that_is_none_of_the_encoders_blocks_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"from 1 to 6"):
        tiny("eomt", freeze=wrong)


def test_files_of_earlier_versions_are_read(tmp_path):
    old = {
        "format": "eomtlib/1",
        "rung": "pmt",
        "size": "nano",
        "pretraining": "none",
        "image_size": [32, 64],
        "num_queries": 5,
        "masking": "annealed",
        "class_names": ["a"],
        "is_thing": [True],
        "frozen_encoder": False,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(old))
    assert read_config(Fields(path)).freeze == "none"
    assert TrainingKey.of({"options": {"frozen_encoder": False}}).options == {"freeze": "none"}
