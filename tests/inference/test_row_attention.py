"""Attention in rows beside PyTorch's, and where it is used."""

import pytest
import torch
from torch.nn import functional as F

from eomtlib.core.machine.precision import autocast
from eomtlib.evaluation.speed import attention_kernel
from eomtlib.inference import row_attention
from eomtlib.inference.row_attention import (
    MIN_TOKENS,
    RowAttention,
    attention_in_rows,
    autocast_inference,
)
from eomtlib.models.build import build_model


def _heads(*shape: int, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    """``[B, heads, N, D]`` as a ViT's projection leaves it: heads beside each other."""
    batch, heads, tokens, width = shape
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((batch, tokens, heads, width), generator=generator) + shift
    return values.bfloat16().transpose(1, 2)


def _exact(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    scores = query.double() @ key.double().transpose(2, 3) / query.shape[-1] ** 0.5
    return scores.softmax(-1) @ value.double()


def _error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return ((found.double() - exact).square().mean() / exact.square().mean()).sqrt().item()


@pytest.mark.parametrize(("rows_at_once", "scores_at_once"), [(1, 1), (20, 2000), (64, 2**30)])
def test_equals_attention_in_float64(
    rows_at_once: int, scores_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_attention, "_ROWS_AT_ONCE", rows_at_once)
    monkeypatch.setattr(row_attention, "_SCORES_AT_ONCE", scores_at_once)
    query = _heads(2, 3, 50, 16)
    key, value = _heads(2, 3, 37, 16, seed=1), _heads(2, 3, 37, 16, seed=2)
    exact = _exact(query, key, value)
    found = attention_in_rows(query, key, value)
    assert found.shape == query.shape
    assert found.dtype == torch.bfloat16
    # Of bfloat16 itself: eight bits.
    assert _error(found, exact) < 2**-7


def test_what_keys_have_in_common_costs_no_digits() -> None:
    query, value = _heads(1, 2, 64, 64), _heads(1, 2, 64, 64, seed=1)
    key = _heads(1, 2, 64, 64, seed=2, shift=300.0)
    exact = _exact(query, key, value)
    rounded_scores = (query @ key.transpose(2, 3) / 8).softmax(-1) @ value
    assert _error(attention_in_rows(query, key, value), exact) < 2**-7
    assert _error(rounded_scores, exact) > 2**-6


def test_is_used_without_gradients_without_mask_and_for_many_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = []
    monkeypatch.setattr(
        row_attention, "attention_in_rows", lambda *heads: used.append(heads) or heads[2]
    )
    many, few = _heads(1, 1, MIN_TOKENS, 8), _heads(1, 1, MIN_TOKENS - 1, 8)
    mask = torch.ones(MIN_TOKENS, MIN_TOKENS, dtype=torch.bool)
    attend = F.scaled_dot_product_attention
    with autocast_inference("cpu", "bfloat16"):
        attend(few, few, few)
        attend(many.float(), many.float(), many.float())
        attend(many, many, many, attn_mask=mask)
        attend(many, many, many, is_causal=True)
        attend(many, many, many, scale=1.0)
        assert not used
        attend(many, many, many[:, :, :, :4])
        assert not used
        attend(many, many, many)
        attend(query=many, key=many, value=many)
        assert len(used) == 2
    with RowAttention():
        attend(many, many, many.requires_grad_())
    with autocast_inference("cpu", "float32"):
        attend(many, many, many)
    assert len(used) == 2


def test_a_compiled_call_keeps_its_own_attention() -> None:
    heads = _heads(1, 2, MIN_TOKENS, 8)
    compiled = torch.compile(
        lambda x: F.scaled_dot_product_attention(x, x, x), backend="aot_eager", fullgraph=True
    )
    with autocast_inference("cpu", "bfloat16"):
        found = compiled(heads)
    assert torch.equal(found, F.scaled_dot_product_attention(heads, heads, heads))


@pytest.mark.parametrize(
    ("rung", "pretraining"), [("eomt", "dinov2"), ("eomt", "eva02"), ("pmt", "dinov3")]
)
def test_models_predict_with_it_as_exactly_as_without(rung: str, pretraining: str) -> None:
    torch.manual_seed(0)
    model = build_model(
        rung,
        size="small",
        pretraining=pretraining,
        image_size=256,
        num_classes=5,
        num_queries=12,
        load_weights=False,
    ).eval()
    images = torch.randint(0, 256, (1, 3, 256, 256), dtype=torch.uint8)
    with torch.inference_mode():
        exact, _ = model.predict(images)
        with autocast("cpu", "bfloat16"):
            fused, _ = model.predict(images)
    with autocast_inference("cpu", "bfloat16"):
        found, _ = model.predict(images)
        assert attention_kernel(lambda: model.predict(images)) == "rows (CPU)"
    assert _error(found, exact) < 1.3 * _error(fused, exact)
