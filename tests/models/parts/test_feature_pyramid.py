import pytest
import torch
from transformers.models.eomt.configuration_eomt import EomtConfig
from transformers.models.eomt.modeling_eomt import EomtScaleLayer

from eomtlib.core.machine.precision import autocast
from eomtlib.models.encoders import build_encoder
from eomtlib.models.parts.feature_pyramid import FeaturePyramid
from eomtlib.models.parts.scale_block import ScaleBlock


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(size="nano", pretraining="none", image_size=(64, 96)).eval()


@pytest.mark.parametrize("recomputed", [False, True])
def test_up_block_equals_transformers_scale_layer(recomputed, monkeypatch):
    if recomputed:
        monkeypatch.setattr("eomtlib.models.parts.scale_block._LARGE_MAP", 1)
    torch.manual_seed(0)
    reference = EomtScaleLayer(EomtConfig(hidden_size=8, hidden_act="gelu"))
    names = {"conv1": "resample", "conv2": "depthwise", "layernorm2d": "norm"}
    state = {
        f"{names[key.split('.')[0]]}.{key.split('.')[1]}": torch.randn_like(value)
        for key, value in reference.state_dict().items()
    }
    reference.load_state_dict(dict(zip(reference.state_dict(), state.values(), strict=True)))
    ours = ScaleBlock(8, up=True)
    ours.load_state_dict(state)
    x = torch.randn(2, 8, 3, 5, requires_grad=True)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), reference(x))
    outputs = ours(x), reference(x)
    torch.testing.assert_close(*outputs)
    weights = torch.randn_like(outputs[0])
    found, expected = (
        torch.autograd.grad((output * weights).sum(), [x, *block.parameters()])
        for output, block in zip(outputs, (ours, reference), strict=True)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("up", [True, False])
def test_a_large_map_has_the_gradients_of_a_small_one(up, precision, monkeypatch):
    torch.manual_seed(0)
    block = ScaleBlock(8, up=up)
    # Patches among other tokens, as models hand them over; of two images, of which it takes one
    # after the other.
    tokens = torch.randn(2, 3 + 6 * 4, 8, requires_grad=True)
    weights = torch.randn(2, 8, *((12, 8) if up else (3, 2)))
    found = []
    for large in (2**21, 1):
        monkeypatch.setattr("eomtlib.models.parts.scale_block._LARGE_MAP", large)
        patches = tokens[:, 3:].transpose(1, 2).unflatten(2, (6, 4))
        with autocast("cpu", precision):
            out = block(patches)
        loss = (out.float() * weights).sum()
        found.append(torch.autograd.grad(loss, [tokens, *block.parameters()]))
    torch.testing.assert_close(*found)


def test_frozen_parameters_of_a_block_are_left_alone():
    block = ScaleBlock(8, up=True).requires_grad_(False)
    x = torch.randn(1, 8, 3, 5, requires_grad=True)
    block(x).sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in block.parameters())


def normed(encoder, images):
    _, (last,) = encoder.tap(images, (encoder.depth - 1,))
    return last.with_x(encoder.norm(last.x))


def test_each_scale_is_made_from_the_normed_output(encoder):
    pyramid = FeaturePyramid(encoder.embed_dim, patch_size=encoder.patch_size)
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    maps = pyramid(normed(encoder, images))
    assert [tuple(x.shape) for x in maps] == [
        (2, 128, 64 // stride, 96 // stride) for stride in (4, 8, 16, 32)
    ]
    patches = encoder(images)[:, encoder.num_prefix :]
    torch.testing.assert_close(maps[1].flatten(2).transpose(1, 2), patches)
    blocks = [len(scale) for scale in pyramid.scales]
    assert blocks == [1, 0, 1, 2]


def test_single_scale_keeps_two_maps(encoder):
    pyramid = FeaturePyramid(encoder.embed_dim, patch_size=8, strides=(4, 8))
    maps = pyramid(normed(encoder, torch.zeros(1, 3, 64, 96)))
    assert [x.shape[-2:] for x in maps] == [(16, 24), (8, 12)]
