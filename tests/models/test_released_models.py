"""EoMT and PMT against outputs of the authors' released models, at random weights.

The fixtures hold outputs of every layer, masked, and of the last one, unmasked; the weights follow
from the names of the parameters.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from eomtlib.encoders import build_encoder
from eomtlib.models.eomt import EoMT
from eomtlib.models.pmt import PMT

FIXTURES = Path(__file__).parent.parent / "fixtures"

BLOCK_NAMES = {
    "attn.proj": "attention.o_proj",
    "mlp.fc1": "mlp.up_proj",
    "mlp.fc2": "mlp.down_proj",
    "gamma_1": "layer_scale1.lambda1",
    "gamma_2": "layer_scale2.lambda1",
    "scale1": "layer_scale1.lambda1",
    "scale2": "layer_scale2.lambda1",
    "attn.": "attention.",
    "mlp.0": "mlp.up_proj",
    "mlp.2": "mlp.down_proj",
}


def fixture_value(key, shape):
    x = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape).astype("float32")
    if len(shape) > 1:
        return torch.from_numpy(x / np.sqrt(np.prod(shape[1:])))
    is_scale = ("norm" in key and key.endswith("weight")) or "scalers" in key
    base = 0.3 if key.endswith(("gamma", "lambda1")) else 1.0 if is_scale else 0.0
    return torch.from_numpy((base + 0.1 * x).astype("float32"))


def released_name(name, *, dinov3, pmt):
    """Our parameter's name in the released model."""
    if name.startswith("encoder."):
        return _block_name(name, dinov3).replace(
            "patch_embed.proj", "patch_embed.patch_embeddings" if dinov3 else "patch_embed.proj"
        )
    name = (
        name.replace("mask_module.", "").replace("resample", "conv1").replace("depthwise", "conv2")
    )
    name = {"queries": "q.weight"}.get(name, name)
    if not pmt:
        return name
    if name.startswith("laterals."):
        _, tap, part = name.split(".", 2)
        if part.startswith("norm."):
            return f"bn.{tap}.{part.removeprefix('norm.')}"
        return (
            f"decoder.scalers.{tap}"
            if part == "scale"
            else (f"decoder.lateral_projections.{tap}.{part.removeprefix('mlp.')}")
        )
    if name.startswith("blocks."):
        name = _block_name(name, True)
    return f"decoder.{name}"


def _block_name(name, dinov3):
    if not dinov3:
        return name
    for ours, theirs in BLOCK_NAMES.items():
        if ours in name:
            name = name.replace(ours, theirs)
            break
    name = name.replace("attn.", "attention.")
    return name.replace("cls_token", "patch_embed.cls_token").replace(
        "reg_token", "patch_embed.register_tokens"
    )


def fill(model, shapes, *, dinov3, pmt):
    """Sets every parameter of ours to the fixture's value; returns the names that were used."""
    used = set()

    def value(key):
        used.add(key)
        return fixture_value(key, shapes[key])

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            key = released_name(name, dinov3=dinov3, pmt=pmt)
            in_dinov3 = dinov3 and name.startswith("encoder.backbone.blocks")
            if in_dinov3 and name.endswith("attn.qkv.weight"):
                stem = key.removesuffix("qkv.weight")
                parts = [value(f"{stem}{p}_proj.weight") for p in "qkv"]
                parameter.copy_(torch.cat(parts))
            elif in_dinov3 and name.endswith(("q_bias", "v_bias")):
                stem, which = key.rsplit(".", 1)
                parameter.copy_(value(f"{stem}.{which[0]}_proj.bias"))
            else:
                parameter.copy_(value(key).reshape(parameter.shape))
    return used


@pytest.fixture(params=["eomt-dinov2", "eomt-dinov3", "pmt-dinov2", "pmt-dinov3"])
def released(request):
    """A model of ours with the fixture's weights, its images, and the expected outputs."""
    config = json.loads((FIXTURES / f"{request.param}.json").read_text())
    pmt, dinov3 = request.param.startswith("pmt"), request.param.endswith("dinov3")
    encoder = build_encoder(
        size="small", pretraining="dinov3" if dinov3 else "dinov2", image_size=(96, 96)
    )
    model = (PMT if pmt else EoMT)(
        encoder=encoder,
        num_queries=config["num_queries"],
        num_classes=config["num_classes"],
        query_blocks=config["query_blocks"],
        masking="masked",
    ).eval()
    used = fill(model, config["shapes"], dinov3=dinov3, pmt=pmt)
    assert used == set(config["filled"])
    return model, np.load(FIXTURES / f"{request.param}.npz")


def test_every_layer_equals_the_released_model(released):
    model, expected = released
    images = torch.from_numpy(expected["images"]).float()
    with torch.no_grad():
        predictions = model(images)
        unmasked = model.predict(images, masked=False)
        masked = model.predict(images, masked=True)
    for index, (masks, classes) in enumerate(
        zip(predictions.mask_logits, predictions.class_logits, strict=True)
    ):
        assert np.abs(masks.numpy() - expected[f"masked/mask_logits_{index}"]).max() < 1e-3
        assert np.abs(classes.numpy() - expected[f"masked/class_logits_{index}"]).max() < 1e-3
    torch.testing.assert_close(masked, predictions.final)
    assert np.abs(unmasked[0].numpy() - expected["unmasked/mask_logits"]).max() < 1e-3
    assert np.abs(unmasked[1].numpy() - expected["unmasked/class_logits"]).max() < 1e-3
