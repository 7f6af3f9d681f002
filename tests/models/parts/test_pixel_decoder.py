import torch
from transformers.models.mask2former.modeling_mask2former import Mask2FormerSinePositionEmbedding

from eomtlib.models.parts.pixel_decoder import (
    FeatureProjection,
    PixelDecoderConfig,
    sine_positions,
)

CONFIG = PixelDecoderConfig(dim=32, num_layers=2, num_heads=4, ffn_dim=64, num_groups=32)


def feature_maps(channels=12, batch=2, finest=(16, 24)):
    torch.manual_seed(1)
    return tuple(
        torch.randn(batch, channels, finest[0] // factor, finest[1] // factor)
        for factor in (1, 2, 4, 8)
    )


def test_sine_positions_equal_transformers():
    reference = Mask2FormerSinePositionEmbedding(num_position_features=8, normalize=True)
    expected = reference(torch.Size((1, 16, 5, 7)), "cpu", torch.float32)
    ours = sine_positions((5, 7), 16)
    torch.testing.assert_close(ours, expected.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_projection_hands_on_each_map_alone():
    project = FeatureProjection(12, config=CONFIG)
    maps = feature_maps()
    mask_features, scales = project(maps)
    assert mask_features.shape == (2, 32, 16, 24)
    assert [x.shape[-2:] for x in scales] == [(2, 3), (4, 6), (8, 12)]
    changed = (maps[0], maps[1], maps[2] + 1, maps[3])
    others = project(changed)
    assert torch.equal(others[0], mask_features)
    assert [torch.equal(a, b) for a, b in zip(others[1], scales, strict=True)] == [
        True,
        False,
        True,
    ]


def test_projection_of_a_single_scale():
    finest, _, third, _ = feature_maps()
    mask_features, scales = FeatureProjection(12, config=CONFIG, num_scales=1)((finest, third))
    assert mask_features.shape == (2, 32, 16, 24)
    assert [x.shape for x in scales] == [(2, 32, 4, 6)]
