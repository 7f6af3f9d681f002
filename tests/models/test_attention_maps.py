"""Recorded attention beside timm's own, which computes it when its fused kernel is off."""

import pytest
import torch

from eomtlib.models.attention_maps import AttentionRecorder, query_attention
from eomtlib.models.build import build_model


def tiny(rung, **options):
    torch.manual_seed(0)
    model = build_model(
        rung,
        size="nano",
        pretraining="none",
        image_size=(32, 48),
        num_classes=3,
        num_queries=5,
        **options,
    )
    return model.eval()


def test_weights_are_those_that_timm_computes_without_its_fused_kernel():
    model = tiny("eomt")
    images = torch.rand(2, 3, 32, 48) * 255
    theirs = []
    for block in model.encoder.backbone.blocks[-3:]:
        block.attn.attn_drop.register_forward_hook(lambda _, args, out: theirs.append(out))
        block.attn.fused_attn = False
    model.predict(images)
    for block in model.encoder.backbone.blocks[-3:]:
        block.attn.fused_attn = True
    ours = query_attention(model, images)
    assert len(ours) == 3
    for own, other in zip(ours, theirs, strict=True):
        expected = other.mean(dim=1)[:, :5, -24:].unflatten(2, (4, 6))
        torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rung", ["eomt-masked", "pmt"])
def test_masks_hide_patches_and_rows_sum_to_one(rung):
    model = tiny(rung, masking="masked")
    images = torch.rand(1, 3, 32, 48) * 255
    with AttentionRecorder() as recorder, torch.inference_mode():
        model.predict(images)
    for weights in recorder.weights:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    masked, free = query_attention(model, images), query_attention(model, images, masked=False)
    assert any((maps == 0).any() for maps in masked)
    assert all((maps > 0).all() for maps in free)
    if rung == "eomt-masked":
        assert len(masked) == len(free) == 3
