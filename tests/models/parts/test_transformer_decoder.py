import pytest
import torch
from torch.nn import functional as F

from eomtlib.core.predictions import MaskLogits
from eomtlib.models.parts.masked_attention import Masking, Pass
from eomtlib.models.parts.transformer_decoder import DecoderConfig, MaskedAttentionDecoder

CONFIG = DecoderConfig(dim=32, num_layers=4, num_heads=4, ffn_dim=48)


def decoder(masking, *, num_scales=3):
    torch.manual_seed(0)
    return MaskedAttentionDecoder(
        num_queries=10, num_classes=5, masking=masking, num_scales=num_scales, config=CONFIG
    )


def inputs(num_scales=3):
    torch.manual_seed(1)
    mask_features = torch.randn(2, 32, 16, 24)
    scales = tuple(torch.randn(2, 32, 2 << i, 3 << i) for i in range(num_scales))
    return mask_features, scales


def final(model, *args, masked=None):
    return model(*args, model.masking.final_pass(masked)).final


@pytest.mark.parametrize("num_scales", [1, 3])
def test_annealing_goes_from_masked_to_unmasked(num_scales):
    annealed = decoder("annealed", num_scales=num_scales)
    masked = decoder("masked", num_scales=num_scales)
    args = inputs(num_scales)
    for ours, theirs in zip(annealed(*args).mask_logits, masked(*args).mask_logits, strict=True):
        assert torch.equal(ours, theirs)
    annealed.masking.probabilities.zero_()
    for ours, theirs in zip(annealed(*args).final, final(masked, *args, masked=False), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(final(masked, *args)[0], final(masked, *args, masked=False)[0])


def test_draws_decide_for_each_query_alone():
    model = decoder("annealed", num_scales=1)
    model.masking.probabilities.fill_(0.5)
    args = inputs(1)
    # Query 3 of image 1 keeps its mask in the first layer, everything else drops its own.
    draws = torch.full((2, CONFIG.num_layers, 10), 0.9)
    unmasked = model(*args, Pass(masked=True, draws=draws))
    draws[1, 0, 3] = 0.1
    once = model(*args, Pass(masked=True, draws=draws))
    torch.testing.assert_close(unmasked.mask_logits[1][0], once.mask_logits[1][0])
    assert not torch.allclose(unmasked.mask_logits[1][1, 3], once.mask_logits[1][1, 3])


def test_unmasked_predicts_once():
    model = decoder("unmasked")
    predictions = model(*inputs())
    assert len(predictions) == 1
    for ours, theirs in zip(predictions.final, final(model, *inputs()), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("masking", "masked"), [("masked", True), ("annealed", False)])
def test_predict_is_masked_only_where_training_ends_masked(masking, masked):
    model = decoder(masking)
    for default, stated in zip(
        final(model, *inputs()),
        final(model, *inputs(), masked=masked),
        strict=True,
    ):
        assert torch.equal(default, stated)


def test_queries_with_empty_masks_see_everything():
    model = decoder("masked")
    mask_features, scales = inputs()
    # No mask is above 0 anywhere, so masked attention must equal plain attention.
    with torch.no_grad():
        model.mask_head[-1].weight.zero_()
        model.mask_head[-1].bias.fill_(-1)
    mask_features = F.relu(mask_features)
    for masked, plain in zip(
        final(model, mask_features, scales, masked=True),
        final(model, mask_features, scales, masked=False),
        strict=True,
    ):
        assert torch.isfinite(masked).all()
        torch.testing.assert_close(masked, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("masked", "mask_predictions"), [(True, 5), (False, 1)])
def test_predict_computes_no_more_than_it_needs(masked, mask_predictions):
    model = decoder("masked")
    calls = []
    model.class_head.register_forward_hook(lambda *_: calls.append("class"))
    model.mask_head.register_forward_hook(lambda *_: calls.append("mask"))
    final(model, *inputs(), masked=masked)
    assert calls.count("class") == 1
    assert calls.count("mask") == mask_predictions


def test_visible_patches_lie_as_fused_attention_on_gpus_needs_them():
    masks = MaskLogits(torch.randn(2, 4, 8, 8), torch.randn(2, 7, 4))
    visible = Masking("masked", 1)(masks, (4, 4), torch.rand(2, 7) < 0.5)
    assert visible.shape == (2, 7, 16)
    assert visible.is_contiguous()
