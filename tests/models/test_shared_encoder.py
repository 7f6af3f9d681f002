"""Decoders on one encoder beside the same models alone."""

from copy import deepcopy

import pytest
import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.models.build import build_model
from eomtlib.models.ladder import LADDER
from eomtlib.models.shared_encoder import SharedEncoder


def tiny(num_classes=3, rung="pmt", image_size=(32, 48), **options):
    model = build_model(
        rung,
        size="nano",
        pretraining="none",
        image_size=image_size,
        num_classes=num_classes,
        num_queries=5,
        **options,
    )
    return model.eval()


def on_one_encoder(*models):
    for model in models[1:]:
        model.encoder.load_state_dict(models[0].encoder.state_dict())
    return models


def test_every_decoder_predicts_what_it_would_alone():
    torch.manual_seed(0)
    models = on_one_encoder(
        tiny(), tiny(7, taps=(0, 5)), tiny(lateral_connections=False), tiny(masking="masked")
    )
    names = ("panoptic", "other taps", "no laterals", "masked")
    images = torch.rand(2, 3, 32, 48) * 255
    with torch.no_grad():
        alone = [deepcopy(model).predict(images) for model in models]
    shared = SharedEncoder(dict(zip(names, models, strict=True)))
    together = shared.predict_all(images)
    for name, expected in zip(names, alone, strict=True):
        for ours, theirs in zip(together[name].final, expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_models_of_all_rungs_share_one_encoder():
    torch.manual_seed(0)
    models = dict.fromkeys(LADDER)
    for rung in models:
        options = {"freeze": "encoder", "image_size": (32, 64)}
        models[rung] = tiny(3 + len(rung) % 3, rung, **options)
    on_one_encoder(*models.values())
    images = torch.rand(2, 3, 32, 64) * 255
    with torch.no_grad():
        alone = {rung: deepcopy(model).predict(images) for rung, model in models.items()}
    shared, calls = SharedEncoder(models), []
    for index, block in enumerate(shared.encoder.backbone.blocks):
        block.register_forward_hook(lambda *_, index=index: calls.append(index))
    together = shared.predict_all(images)
    for rung, expected in alone.items():
        for ours, theirs in zip(together[rung].final, expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    # Once for all but the adapter's model, which runs them itself; the last three again with the
    # queries of both models that have them there.
    assert [calls.count(index) for index in range(6)] == [2, 2, 2, 4, 4, 4]


def test_the_encoder_runs_once_and_no_further_than_it_must():
    models = on_one_encoder(tiny(taps=(0, 2)), tiny(taps=(1, 3)))
    shared = SharedEncoder({"a": models[0], "b": models[1]})
    calls = []
    for index, block in enumerate(shared.encoder.backbone.blocks):
        block.register_forward_hook(lambda *_, index=index: calls.append(index))
    shared.predict_all(torch.rand(1, 3, 32, 48))
    assert calls == [0, 1, 2, 3]
    own = sum(p.numel() for p in models[0].parameters())
    assert sum(p.numel() for p in shared.parameters()) < 2 * own


def test_encoders_that_differ_cannot_be_shared():
    with pytest.raises(ConfigurationError, match="b: its encoder has other weights"):
        SharedEncoder({"a": tiny(), "b": tiny()})
    trained = on_one_encoder(tiny(), tiny(freeze="none"))
    with pytest.raises(ConfigurationError, match="b: its encoder was trained"):
        SharedEncoder({"a": trained[0], "b": trained[1]})
    with pytest.raises(ConfigurationError, match="models is empty"):
        SharedEncoder({})


def test_an_encoder_that_is_not_frozen_learns():
    model = tiny(freeze="none").train()
    model(torch.rand(1, 3, 32, 48) * 255).class_logits[-1].sum().backward()
    assert model.encoder.backbone.blocks[0].attn.qkv.weight.grad.abs().sum() > 0
    frozen = tiny().train()
    frozen(torch.rand(1, 3, 32, 48) * 255).class_logits[-1].sum().backward()
    assert frozen.encoder.backbone.blocks[0].attn.qkv.weight.grad is None
