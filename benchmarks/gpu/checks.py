"""What is right on the device: the sampler, the rungs beside a CPU; and what a step costs there."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.speed import Encoder, Runs, distance
from eomtlib.core.machine.memory import PeakMemory
from eomtlib.core.words import RUNGS
from eomtlib.evaluation.speed import measure_fps
from eomtlib.inference.row_attention import autocast_inference
from eomtlib.models.parts.deformable_attention import available_samplers, deformable_sample
from eomtlib.training.loop.fit import measure_step

_LEVELS = ((20, 20), (40, 40), (80, 80))
SAMPLINGS = {
    "pixel decoder": (_LEVELS, 8, 32, 4, 8400),
    "injector": (_LEVELS[::-1], 16, 32, 4, 1600),
    "odd": (((2, 3), (4, 6), (5, 1)), 2, 3, 2, 21),
}
"""Levels, heads, channels of a head, points, queries: two of L's at 640, one that fits nothing."""


def samplers_are_right(device: str) -> dict[str, Any]:
    """Each sampler's output and gradients beside plain PyTorch in float64, relatively."""
    found: dict[str, list[float]] = {}
    for name, (levels, heads, channels, points, queries) in SAMPLINGS.items():
        torch.manual_seed(0)
        cells = sum(rows * columns for rows, columns in levels)
        queries = min(queries, 50) if device == "cpu" else queries
        shape = (1, queries, heads, len(levels), points)
        value = torch.randn(1, cells, heads, channels, device=device)
        places = 1.2 * torch.rand(*shape, 2, device=device) - 0.1
        weights = torch.rand(shape, device=device)
        for kind in (torch.float32, torch.bfloat16):
            inputs = [value.to(kind), places, weights]
            expected = _with_gradients("pytorch", [x.double() for x in inputs], levels)
            for sampler in available_samplers(device):
                pairs = zip(_with_gradients(sampler, inputs, levels), expected, strict=True)
                found[f"{sampler}, {kind}, {name}"] = [distance(*pair) for pair in pairs]
    worst = max(max(apart) for name, apart in found.items() if "float32" in name)
    return {"deviations": found, "says": f"float32, furthest from float64: {worst:.1e}"}


def _with_gradients(sampler: str, inputs: list[Tensor], levels: Any) -> list[Tensor]:
    value, places, weights = leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    if sampler == "pytorch":
        out = deformable_sample(value, levels, places, weights)
    else:
        from eomtlib.models.parts.deformable_kernel import deformable_sample_kernel

        sides = [side for level in levels for side in level]
        out = deformable_sample_kernel(value, sides, places, weights).flatten(2)
    seed = torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, leaves, seed)]


@torch.inference_mode()
def rungs_are_right(runs: Runs, encoder: Encoder) -> dict[str, Any]:
    """Each rung's logits on the device, in 32 and 16 bits, beside a CPU's in float32."""
    found: dict[str, float] = {}
    for rung in RUNGS:
        run = runs.of(rung, encoder)
        torch.manual_seed(0)
        model = run.maker.model(run.settings.image_size, load_weights=False).eval()
        images = torch.randint(0, 256, (1, 3, *run.settings.image_size), dtype=torch.uint8)
        expected, images = model.predict(images), images.to(runs.device)
        model.to(runs.device)
        for kind in ("float32", "bfloat16"):
            with autocast_inference(runs.device, kind):
                pairs = zip(model.predict(images), expected, strict=True)
                found[f"{rung}, {kind}"] = max(distance(o.cpu(), e) for o, e in pairs)
    worst = max(apart for name, apart in found.items() if "float32" in name)
    return {"deviations": found, "says": f"float32, furthest from a CPU: {worst:.1e}"}


def training_step(runs: Runs, encoder: Encoder, *, batch: int, **options: Any) -> dict[str, Any]:
    """Images a second and peak memory of EoMT's step; the loss's share, and what waits in it."""
    run = runs.of("eomt", encoder, batch=batch, **options)
    s = run.settings
    module = run.maker.module(1)
    with PeakMemory(s.device) as memory:
        seconds = measure_step(module, device=s.device, precision=s.precision, repeats=9)
    (data,) = module.make_loader(steps=1, first_step=0, rank=0, world_size=1)
    data = data.to(s.device)
    with torch.no_grad(), autocast_inference(s.device, s.precision):
        predictions = module.model.forward(data.images)  # as written: no second compilation

    def loss() -> object:
        drawn = [torch.Generator(s.device).manual_seed(i) for i in range(batch)]
        return module.loss(predictions, data.segments, generators=drawn)

    share = measure_fps(loss, device=s.device, max_seconds=2).median_s / seconds
    said = f"{batch / seconds:.2f} images/s, {memory.mib / 1024:.1f} GiB"
    return {
        "images_per_s": batch / seconds,
        "peak_mib": memory.mib,
        "share_of_loss_forward": share,
        "segments": [own.num_segments for own in data.segments],
        "waits_of_loss": _waits(loss) if s.kind == "cuda" else {},
        "says": f"{said}, loss and matching forward {share:.0%}",
    }


def _waits(call: Any) -> dict[str, int]:
    """Where the host waits for the GPU: file and line → how often."""
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    torch.cuda.set_sync_debug_mode("default")
    waits = (w for w in caught if "synchronizing" in str(w.message))
    return dict(Counter(f"{w.filename.rpartition('/')[2]}:{w.lineno}" for w in waits))
