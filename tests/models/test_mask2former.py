import pytest
import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.models.encoders import build_encoder
from eomtlib.models.mask2former import Mask2Former
from eomtlib.models.parts.feature_pyramid import STRIDES, FeaturePyramid
from eomtlib.models.parts.pixel_decoder import FeatureProjection, PixelDecoder, PixelDecoderConfig
from eomtlib.models.parts.transformer_decoder import DecoderConfig, MaskedAttentionDecoder
from eomtlib.models.parts.vit_adapter import ViTAdapter

STEPS = (0, 1, 2, 3)


def build(
    step,
    *,
    size,
    image_size,
    masking="masked",
    num_queries=200,
    num_classes=133,
    pixel_config=PixelDecoderConfig(),
    decoder_config=DecoderConfig(),
):
    """The model of a step of the ladder."""
    encoder = build_encoder(size=size, pretraining="none", image_size=image_size)
    dim, patch_size = encoder.embed_dim, encoder.patch_size
    if step == 0:
        features = ViTAdapter(encoder)
    else:
        strides = (4, patch_size) if step == 3 else STRIDES
        features = FeaturePyramid(dim, patch_size=patch_size, strides=strides)
    num_scales = 1 if step == 3 else 3
    between = PixelDecoder if step < 2 else FeatureProjection
    return Mask2Former(
        encoder=encoder,
        features=features,
        pixel_decoder=between(dim, config=pixel_config, num_scales=num_scales),
        decoder=MaskedAttentionDecoder(
            num_queries=num_queries,
            num_classes=num_classes,
            masking=masking,
            num_scales=num_scales,
            config=decoder_config,
        ),
    )


def build_tiny(step, masking="masked"):
    torch.manual_seed(0)
    return build(
        step,
        size="nano",
        image_size=(64, 96),
        masking=masking,
        num_queries=7,
        num_classes=5,
        pixel_config=PixelDecoderConfig(dim=32, num_layers=1, num_heads=4, ffn_dim=32),
        decoder_config=DecoderConfig(dim=32, num_layers=3, num_heads=4, ffn_dim=32),
    )


def tiny_images():
    return torch.randint(
        0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize("step", STEPS)
def test_predictions(step):
    model = build_tiny(step).eval()
    predictions = model(tiny_images())
    assert len(predictions) == 4
    assert {tuple(x.shape) for x in predictions.mask_logits} == {(2, 7, 16, 24)}
    assert {tuple(x.shape) for x in predictions.class_logits} == {(2, 7, 6)}
    for ours, final in zip(model.predict(tiny_images()), predictions.final, strict=True):
        assert torch.equal(ours, final)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("masking", ["masked", "unmasked"])
def test_gradients_reach_every_parameter(step, masking):
    model = build_tiny(step, masking).train()
    for name, parameter in model.named_parameters():
        # What starts at zero would hide the gradients of what it scales or bends.
        if "scale" in name or name.endswith(
            ("sampling_offsets.weight", "attention_weights.weight")
        ):
            torch.nn.init.normal_(parameter, std=0.1)
    predictions = model(tiny_images())
    loss = sum(x.square().mean() for x in (*predictions.mask_logits, *predictions.class_logits))
    loss.backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert without == []


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("masking", ["masked", "unmasked"])  # annealed: in test_ladder
def test_one_graph_serves_training(step, masking):
    graphs = 0

    def counting(graph, _inputs):
        nonlocal graphs
        graphs += 1
        return graph.forward

    torch.compiler.reset()
    model = build_tiny(step, masking).train()
    compiled = torch.compile(model, backend=counting, fullgraph=True)
    for probability in (1.0, 0.5, 0.0):
        model.masking.probabilities.fill_(probability)
        draws = torch.rand(2, 3, 7)
        for ours, theirs in zip(
            compiled(tiny_images(), draws).final, model(tiny_images(), draws).final, strict=True
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert graphs == 1


def test_image_size_can_change():
    model = build_tiny(0).eval()
    model.set_image_size((96, 64))
    masks, _ = model.predict(tiny_images().transpose(2, 3))
    assert masks.shape == (2, 7, 24, 16)
    with pytest.raises(ConfigurationError, match="coarsest stride, 32"):
        model.set_image_size((64, 72))


def test_image_sizes_that_do_not_fit_the_pyramid_are_refused():
    with pytest.raises(ConfigurationError, match="coarsest stride, 32"):
        build(1, size="nano", image_size=(72, 64))
    # With a single scale, patches are all that must fit.
    assert build(3, size="nano", image_size=(72, 64)).size_divisor == 8


@pytest.mark.parametrize("step", STEPS)
def test_mixed_precision_stays_close(step):
    model = build_tiny(step, "unmasked").eval()
    exact, _ = model.predict(tiny_images())
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = model.predict(tiny_images())
    assert mixed.dtype == torch.bfloat16
    error = (mixed.float() - exact).square().mean().sqrt()
    assert error < 0.02 * exact.square().mean().sqrt()
