"""EoMT's forward pass at 640, one image, and the floor: timm's bare backbone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.compare import Comparison, time_pairs
from benchmarks.inputs import SIDE, Options
from benchmarks.peers.hugging_face import eomt_pair
from eomtlib.evaluation.cost import measure_fps
from eomtlib.folding import folded
from eomtlib.precision import fastest_precision


@torch.inference_mode()
def run(options: Options) -> list[Comparison]:
    """Eager in float32 beside transformers' port; then each faster mode of ours, likewise."""
    comparisons = []
    images = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8)
    for size in ("small", "base"):
        ours, theirs = eomt_pair(size, side=SIDE)
        values = ours.encoder.normalize(images)
        backbone = ours.encoder.backbone
        ours = folded(ours)
        apart = _apart(ours.predict(images), theirs(values))
        floor = measure_fps(
            lambda b=backbone, v=values: b.forward_features(v), device="cpu", max_seconds=10
        )
        for mode, predict in _modes(ours).items():
            samples = time_pairs(
                lambda p=predict: p(images),
                lambda t=theirs, v=values: t(v),
                seconds=options.seconds,
            )
            comparisons.append(
                Comparison(
                    part=f"EoMT {size}, forward, 640, {mode}",
                    peer="transformers' EoMT, float32 eager, same weights",
                    samples=samples,
                    bar=1.05 if mode == "float32 eager" else None,
                    agreement=f"logits at most {apart:.1e} apart in float32 eager; timm's bare "
                    f"backbone takes {floor.median_s:.3f} s",
                    unit="1 image",
                )
            )
        torch.compiler.reset()
    return comparisons


def _modes(model: nn.Module) -> dict[str, Callable[[Tensor], object]]:
    def in_bfloat16(function: Callable[[Tensor], object]) -> Callable[[Tensor], object]:
        def call(images: Tensor) -> object:
            with torch.autocast("cpu", torch.bfloat16):
                return function(images)

        return call

    modes = {
        "float32 eager": model.predict,
        "float32 compiled": torch.compile(model.predict, fullgraph=True),
    }
    if fastest_precision("cpu") == "bfloat16":
        modes["bfloat16 eager"] = in_bfloat16(model.predict)
    return modes


def _apart(ours: tuple[Tensor, Tensor], theirs: object) -> float:
    pairs = zip(ours, (theirs.masks_queries_logits, theirs.class_queries_logits), strict=True)
    return max((mine - other).abs().max().item() for mine, other in pairs)
