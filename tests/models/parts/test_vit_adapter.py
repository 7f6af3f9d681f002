import pytest
import torch

from eomtlib.models.encoders import build_encoder
from eomtlib.models.parts.vit_adapter import AdapterConfig, ConvFFN, SpatialPrior, ViTAdapter


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(size="nano", pretraining="none", image_size=(64, 96)).eval()


@pytest.fixture
def images():
    return torch.randint(
        0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_four_scales(encoder, images):
    maps = ViTAdapter(encoder)(encoder, images)
    assert [tuple(x.shape) for x in maps] == [
        (2, 128, 64 // stride, 96 // stride) for stride in (4, 8, 16, 32)
    ]


def test_the_vit_starts_undisturbed(encoder, images):
    adapter = ViTAdapter(encoder).eval()
    seen = []
    encoder.backbone.norm.register_forward_hook(lambda _module, _args, out: seen.append(out))
    plain = encoder(images)
    adapter(encoder, images)
    torch.testing.assert_close(seen[-1], plain)
    torch.nn.init.ones_(adapter.injectors[0].scale)
    adapter(encoder, images)
    assert not torch.allclose(seen[-1], plain, atol=1e-2)


def test_injection_leaves_prefix_tokens_alone(encoder, images):
    adapter = ViTAdapter(encoder).eval()
    torch.nn.init.ones_(adapter.injectors[0].scale)
    inputs = []
    encoder.backbone.blocks[0].register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    adapter(encoder, images)
    before = encoder.embed(images)
    assert torch.equal(inputs[0][:, : before.num_prefix], before.x[:, : before.num_prefix])
    assert not torch.allclose(inputs[0][:, before.num_prefix :], before.patches)


@pytest.mark.parametrize("parts", [3, 4])
def test_blocks_are_split_as_tensor_split_does(parts, encoder):
    expected = [part.tolist() for part in torch.arange(encoder.depth).tensor_split(parts)]
    assert (
        ViTAdapter(encoder, config=AdapterConfig(num_interactions=parts)).block_ranges == expected
    )


def test_stem_strides():
    maps = SpatialPrior(8, width=4)(torch.randn(2, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (8, 64 // stride, 96 // stride) for stride in (4, 8, 16, 32)
    ]


def test_convolutional_ffn_does_not_mix_levels():
    ffn = ConvFFN(8, 4)
    shapes = ((2, 3), (4, 6))
    x = torch.randn(1, 30, 8)
    changed = x.clone()
    changed[:, 0] += 1
    before, after = ffn(x, shapes), ffn(changed, shapes)
    touched = (before - after).abs().amax(dim=(0, 2)) > 0
    # The 3×3 neighbourhood of the first cell of the first level, 2 rows of 3.
    assert touched.nonzero().flatten().tolist() == [0, 1, 3, 4]
