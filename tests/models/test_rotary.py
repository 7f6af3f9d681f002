"""DINOv3's table against timm's, whose draws are the same; and what training asks of the host."""

import pytest
import torch
from timm.layers import RotaryEmbeddingDinoV3

from eomtlib.models.rotary import RescaledRope, ropes_of
from tests.inference.test_modes import HostTensors, images, tiny


def test_it_is_timms_table_at_the_same_draw():
    theirs = RotaryEmbeddingDinoV3(16, feat_shape=[3, 5], rotate_half=True, rescale_coords=2.0)
    ours = RescaledRope(16, feat_shape=[3, 5])
    tables = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        ours.rescale(torch.Generator().manual_seed(seed))
        tables.append(ours.get_embed())
        torch.testing.assert_close(tables[-1], theirs.get_embed(), rtol=0, atol=0)
    assert not torch.equal(*tables)
    # Nothing is rescaled where nothing learns, and the draw is no part of a checkpoint.
    torch.testing.assert_close(ours.eval().get_embed(), theirs.eval().get_embed(), rtol=0, atol=0)
    assert not ours.state_dict()


def test_older_versions_of_timm_know_no_dtype(monkeypatch):
    ours = RescaledRope(16, feat_shape=[3, 5]).eval()
    table = ours.get_embed([2, 4])
    newer = RotaryEmbeddingDinoV3.get_embed
    monkeypatch.setattr(RotaryEmbeddingDinoV3, "get_embed", lambda self, shape: newer(self, shape))
    assert torch.equal(ours.get_embed([2, 4]), table)
    assert torch.equal(ours.get_embed([2, 4], torch.bfloat16), table.bfloat16())


@pytest.mark.parametrize("backend", [None, "aot_eager"])
def test_the_draw_decides_what_a_model_predicts(backend):
    model = tiny("eomt", "small", "dinov3").train()
    (rope,) = ropes_of(model)
    run = torch.compile(model, backend=backend, fullgraph=True) if backend else model
    draws = torch.rand(1, model.masking.num_blocks, 7, generator=torch.Generator().manual_seed(0))

    def logits(seed):
        rope.rescale(torch.Generator().manual_seed(seed))
        with torch.no_grad():
            return run(images(0), draws).class_logits[-1]

    first = logits(0)
    torch.rand(3)  # of the generator that timm would draw from
    assert not torch.equal(logits(1), first)
    torch.testing.assert_close(logits(0), first, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("rung", "size", "pretraining"),
    [("eomt", "small", p) for p in ("dinov2", "dinov3", "eva02", "deit3-in21k")]
    + [("pmt", "nano", "none"), ("no-adapter", "nano", "none")],
)
def test_no_forward_pass_of_a_training_touches_the_host(rung, size, pretraining):
    model = tiny(rung, size, pretraining).to("meta").train()
    draws = torch.rand(1, model.masking.num_blocks, 7, device="meta")
    inputs = images(0).to("meta")
    # Without a graph, for the meta device knows no autocast.
    with torch.no_grad(), HostTensors() as seen:
        for rope in ropes_of(model):
            rope.factor.fill_(1.5)
        model(inputs, draws)
    assert seen.names == set()
