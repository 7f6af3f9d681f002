from dataclasses import replace

import pytest
import timm
import torch
from torch import nn

from eomtlib.core.errors import ConfigurationError
from eomtlib.training.optimization import (
    OptimizerConfig,
    build_optimizer,
    lr_factor,
    parameter_groups,
)

COCO_STEPS = 12 * 7391
EOMT = OptimizerConfig()
PMT = OptimizerConfig(lr=2e-4, warmup_steps=(6000,), schedule="cosine")


class TinyModel(nn.Module):
    """A real timm ViT of four blocks under a wrapper, as encoders have it, and something new."""

    def __init__(self, name="vit_small_patch14_reg4_dinov2"):
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.backbone = timm.create_model(
            name, depth=4, embed_dim=24, num_heads=2, img_size=28, num_classes=0
        )
        self.blocks = nn.ModuleList([nn.Linear(24, 24)])
        self.queries = nn.Parameter(torch.zeros(5, 24))


def rates(model, config):
    """Parameter name → peak learning rate, and whose it is."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"] / config.lr, group["is_encoder"])
        for group in parameter_groups(model, config)
        for parameter in group["params"]
    }


@pytest.mark.parametrize(
    ("step", "new", "encoder"),
    [
        (0, 0, 0),
        (499, 499 / 500, 0),
        (500, 1, 0),
        (1499, (1 - 999 / 88192) ** 0.9, 999 / 1000),
        (1500, (1 - 1000 / 88192) ** 0.9, 1),
        (44346, (44346 / 88192) ** 0.9, (44346 / 87192) ** 0.9),
        (88691, (1 / 88192) ** 0.9, (1 / 87192) ** 0.9),
        (88692, 0, 0),
    ],
)
def test_two_stage_warmup_then_polynomial(step, new, encoder):
    assert lr_factor(step, COCO_STEPS, is_encoder=False, config=EOMT) == pytest.approx(new)
    assert lr_factor(step, COCO_STEPS, is_encoder=True, config=EOMT) == pytest.approx(encoder)


def test_cosine_falls_to_its_end_after_one_warmup_for_all():
    for is_encoder in (False, True):
        curve = [
            PMT.lr * lr_factor(step, COCO_STEPS, is_encoder=is_encoder, config=PMT)
            for step in (0, 3000, 6000, 6000 + (COCO_STEPS - 6000) // 2, COCO_STEPS)
        ]
        assert curve == pytest.approx([0, 1e-4, 2e-4, (2e-4 + 1e-9) / 2, 1e-9], rel=1e-6)


def test_polynomial_equals_torchs_own():
    config = replace(EOMT, warmup_steps=(0.0, 0.0))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=40, power=0.9)
    for step in range(40):
        ours = lr_factor(step, 40, is_encoder=True, config=config)
        assert ours == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_short_runs_shrink_a_warmup_given_in_steps():
    # 0.3 of 100 steps, in the proportion of 500 to 1000.
    peaks = {
        is_encoder: max(
            range(101), key=lambda s, e=is_encoder: lr_factor(s, 100, is_encoder=e, config=EOMT)
        )
        for is_encoder in (False, True)
    }
    assert peaks == {False: 10, True: 30}
    shares = replace(EOMT, warmup_steps=(0.2, 0.4))
    assert lr_factor(20, 100, is_encoder=False, config=shares) == 1
    assert lr_factor(40, 100, is_encoder=True, config=shares) == pytest.approx(0.5)
    assert all(
        0 <= lr_factor(step, steps, is_encoder=e, config=EOMT) <= 1
        for steps in (1, 2, 7)
        for step in range(steps + 1)
        for e in (False, True)
    )


def test_deeper_blocks_learn_faster():
    found = rates(TinyModel(), EOMT)
    expected = {
        "encoder.backbone.patch_embed.proj.weight": 0.8**3,
        "encoder.backbone.pos_embed": 0.8**3,
        "encoder.backbone.cls_token": 0.8**3,
        "encoder.backbone.reg_token": 0.8**3,
        "encoder.backbone.blocks.0.norm1.weight": 0.8**3,
        "encoder.backbone.blocks.2.attn.qkv.bias": 0.8,
        "encoder.backbone.blocks.3.ls2.gamma": 1,
        "encoder.backbone.norm.bias": 1,
        "queries": 1,
        "blocks.0.weight": 1,
    }
    for name, factor in expected.items():
        assert found[name] == (pytest.approx(factor), name.startswith("encoder."))
    assert len(found) == len(list(TinyModel().parameters()))


def test_encoders_that_keep_their_norm_elsewhere():
    found = rates(TinyModel("eva02_small_patch14_224"), EOMT)
    assert found["encoder.backbone.fc_norm.weight"] == (1, True)


def test_query_blocks_can_be_exempt():
    config = replace(EOMT, exempt_blocks=2, encoder_lr_factor=0.1, layer_decay=0.5)
    found = rates(TinyModel(), config)
    factors = [found[f"encoder.backbone.blocks.{i}.norm1.weight"][0] for i in range(4)]
    assert factors == pytest.approx([0.1 * 0.5**3, 0.1 * 0.5**2, 1, 1])
    assert found["encoder.backbone.pos_embed"][0] == pytest.approx(0.1 * 0.5**3)
    assert found["encoder.backbone.norm.weight"][0] == 1


def test_frozen_parameters_are_left_out():
    model = TinyModel()
    model.encoder.requires_grad_(False)
    assert set(rates(model, EOMT)) == {"queries", "blocks.0.weight", "blocks.0.bias"}
    model.requires_grad_(False)
    with pytest.raises(ConfigurationError, match="nothing to train"):
        parameter_groups(model, EOMT)


def test_unknown_encoder_parameters_are_reported():
    model = TinyModel()
    model.encoder.adapter = nn.Linear(2, 2)
    with pytest.raises(ConfigurationError, match=r"adapter\.weight"):
        parameter_groups(model, EOMT)


def test_weight_decay_may_spare_vectors():
    for group in parameter_groups(TinyModel(), replace(EOMT, decay_vectors=False)):
        axes = {parameter.ndim > 1 for parameter in group["params"]}
        assert axes == {group["weight_decay"] > 0}
    assert {group["weight_decay"] for group in parameter_groups(TinyModel(), EOMT)} == {0.05}


def test_the_step_is_fused_but_for_a_scaled_loss():
    for scaled in (False, True):
        optimizer, _ = build_optimizer(TinyModel(), EOMT, total_steps=5, scaled_loss=scaled)
        assert bool(optimizer.defaults["fused"]) != scaled


def test_optimizer_follows_the_schedule_and_resumes():
    def build():
        torch.manual_seed(0)
        model = TinyModel()
        return model, *build_optimizer(model, EOMT, total_steps=50)

    def train(model, optimizer, scheduler, steps):
        history = []
        for _ in range(steps):
            history.append([group["lr"] for group in optimizer.param_groups])
            for parameter in model.parameters():
                parameter.grad = parameter.detach() * 0.1 + 1.0
            optimizer.step()
            scheduler.step()
        return history

    whole = build()
    history = train(*whole, 12)
    for step, row in enumerate(history):
        for group, lr in zip(whole[1].param_groups, row, strict=True):
            factor = lr_factor(step, 50, is_encoder=group["is_encoder"], config=EOMT)
            assert lr == pytest.approx(group["initial_lr"] * factor)
    assert len(whole[1].param_groups) == 5

    first, resumed = build(), build()
    train(*first, 6)
    for before, after in zip(first, resumed, strict=True):
        after.load_state_dict(before.state_dict())
    assert train(*resumed, 6) == history[6:]
    for ours, theirs in zip(whole[0].parameters(), resumed[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "polly"}, "Did you mean 'poly'"),
        ({"warmup_steps": (0.5, 0.5)}, "sum to less than 1"),
        ({"warmup_steps": (500.0, 1000.0)}, "without a decimal point"),
        ({"warmup_steps": (500, 0.1)}, "either all in steps"),
        ({"layer_decay": 0.0}, "layer_decay"),
    ],
)
def test_configuration_is_checked(change, message):
    with pytest.raises(ConfigurationError, match=message):
        OptimizerConfig(**change)
