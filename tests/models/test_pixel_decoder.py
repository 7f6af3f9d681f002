import torch
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoder,
    Mask2FormerSinePositionEmbedding,
)

from eomtlib.models.pixel_decoder import (
    FeatureProjection,
    PixelDecoder,
    PixelDecoderConfig,
    sine_positions,
)

CONFIG = PixelDecoderConfig(dim=32, num_layers=2, num_heads=4, ffn_dim=64, num_groups=32)
NAMES = {
    "level_embed": "level_embed",
    "input_projections": "projections",
    "encoder.layers": "layers",
    "mask_projection": "mask_projection",
    "adapter_1": "lateral",
    "layer_1": "output",
    "self_attn_layer_norm": "attention_norm",
    "self_attn": "attention",
    "final_layer_norm": "ffn_norm",
}


def rename(key):
    for theirs, ours in NAMES.items():
        key = key.replace(theirs, ours)
    return key


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


def test_pixel_decoder_equals_transformers():
    torch.manual_seed(0)
    reference = Mask2FormerPixelDecoder(
        Mask2FormerConfig(
            feature_size=32,
            mask_feature_size=32,
            hidden_dim=32,
            encoder_layers=2,
            encoder_feedforward_dim=64,
            num_attention_heads=4,
        ),
        feature_channels=[12] * 4,
    ).eval()
    # Every entry at random: level_embed is allocated but not filled outside the whole model.
    state = {key: 0.2 * torch.randn(v.shape) for key, v in reference.state_dict().items()}
    reference.load_state_dict(state)
    ours = PixelDecoder(12, config=CONFIG).eval()
    ours.load_state_dict({rename(key): value for key, value in state.items()})
    maps = feature_maps()
    expected = reference(list(maps), return_dict=True)
    mask_features, scales = ours(maps)
    torch.testing.assert_close(mask_features, expected.mask_features, atol=1e-4, rtol=1e-4)
    for mine, theirs in zip(scales, expected.multi_scale_features, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


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
