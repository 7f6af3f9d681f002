"""Replayed as computed, where there is a GPU; what a capture needs, where there is none."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from eomtlib.core.errors import ConfigurationError
from eomtlib.inference.modes import GraphedCall, in_mode
from eomtlib.models.build import build_model
from eomtlib.models.ladder import LADDER
from eomtlib.models.parts.deformable_attention import available_samplers, set_sampler

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def tiny(rung, size="nano", pretraining="none"):
    torch.manual_seed(0)
    model = build_model(
        rung,
        size=size,
        pretraining=pretraining,
        load_weights=False,
        image_size=64,
        num_classes=3,
        num_queries=7,
    )
    return model.eval()


def images(seed, size=64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8, generator=generator)


def test_it_is_refused_without_a_gpu():
    calls = []
    with pytest.raises(ConfigurationError, match="needs a GPU, and images are on cpu"):
        GraphedCall(calls.append)(images(0))
    assert not calls


def test_it_is_the_mode_of_that_name():
    assert isinstance(in_mode(lambda x: x, "cuda-graph"), GraphedCall)


class HostTensors(TorchDispatchMode):
    """Operators that touch a tensor in the CPU's memory, or make one of Python's numbers."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        touched = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        from_python = func is torch.ops.aten.lift_fresh.default
        if from_python or any(x.device.type == "cpu" for x in touched):
            self.names.add(str(func))
        return out


def test_what_a_capture_cannot_copy_is_seen():
    x = torch.zeros(2, device="meta")
    for touch in (
        lambda: x + torch.tensor([1.0, 2.0], device="meta"),
        lambda: x + torch.arange(2).to("meta"),
    ):
        with torch.inference_mode(), HostTensors() as seen:
            touch()
        assert seen.names


@pytest.mark.parametrize(
    ("rung", "encoder"),
    [(rung, ("nano", "none")) for rung in LADDER]
    + [
        (rung, ("small", p)) for p in ("dinov3", "eva02", "deit3-in21k") for rung in ("eomt", "pmt")
    ],
)
def test_no_rung_touches_the_host_while_it_predicts(rung, encoder):
    # On the meta device a value that is read back is an error.
    model, inputs = tiny(rung, *encoder).to("meta"), images(0).to("meta")
    with torch.inference_mode(), HostTensors() as seen:
        model.predict(inputs)
    assert seen.names == set()


@on_a_gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("rung", LADDER)
def test_a_replay_equals_the_model(rung, precision):
    model = tiny(rung).cuda()
    set_sampler(model, available_samplers("cuda")[-1])
    graphed = GraphedCall(model.predict)
    half = torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16")
    with torch.inference_mode(), half:
        graphed(images(0).cuda())
    # After the context that it was captured in: nothing of it may have been freed.
    for seed in (1, 2):
        with torch.inference_mode(), half:
            expected = model.predict(images(seed).cuda())
        torch.testing.assert_close(graphed(images(seed).cuda()), expected, rtol=2e-2, atol=2e-2)


@on_a_gpu
def test_another_shape_is_refused():
    graphed = GraphedCall(lambda x: x.float() + 1)
    graphed(images(0).cuda())
    with pytest.raises(ConfigurationError, match="make another GraphedCall"):
        graphed(images(0, size=32).cuda())
