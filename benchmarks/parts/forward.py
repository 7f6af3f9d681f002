"""EoMT's forward pass at 640, one image, and the floor: timm's bare backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.compare import Comparison, Sides, compare
from benchmarks.inputs import SIDE, Options, random_images
from benchmarks.peers.hugging_face import eomt_pair
from eomtlib.core.machine.precision import autocast, fastest_precision
from eomtlib.evaluation.speed import measure_fps
from eomtlib.inference.folding import fold
from eomtlib.inference.row_attention import autocast_inference

EAGER = "float32 eager"
_BARS = {EAGER: 1.6, "bfloat16 eager": 1.3}


def run(options: Options) -> list[Comparison]:
    """Each mode of ours beside transformers' port, eager in the same precision."""
    comparisons = []
    for size in ("small", "base"):
        floor = _backbone_seconds(size)
        for mode in _modes():
            found = compare(
                sides(size, mode=mode),
                part=f"EoMT {size}, forward, 640, {mode}",
                peer=f"transformers' EoMT, {_precision(mode)} eager, same weights",
                seconds=options.seconds,
                bar=_BARS.get(mode),
                unit="1 image",
            )
            noted = f"{found.agreement}; timm's bare backbone takes {floor:.3f} s"
            comparisons.append(replace(found, agreement=noted))
        torch.compiler.reset()
    return comparisons


def sides(size: str, *, side: int = SIDE, mode: str = EAGER) -> Sides:
    """The same weights on the same noise.

    Args:
        size: ``small`` or ``base``.
        side: of the square image in pixels.
        mode: that ours runs in; the peer is eager in its precision.
    """

    @torch.inference_mode()
    def ours() -> Callable[[], tuple[Tensor, Tensor]]:
        model, _ = eomt_pair(size, side=side)
        predict = _modes()[mode](fold(model, precision=_precision(mode)))
        images = random_images(1, side)
        return torch.inference_mode()(lambda: predict(images))

    @torch.inference_mode()
    def theirs() -> Callable[[], Any]:
        model, peer = eomt_pair(size, side=side)
        values = model.encoder.normalize(random_images(1, side))

        def call() -> Any:
            with torch.inference_mode(), autocast("cpu", _precision(mode)):
                return peer(values)

        return call

    return Sides(ours, theirs, _agreement)


def _precision(mode: str) -> str:
    return mode.partition(" ")[0]


def _modes() -> dict[str, Callable[[nn.Module], Callable[[Tensor], tuple[Tensor, Tensor]]]]:
    """Name → what makes a model's ``predict`` run in that mode."""

    def in_precision(
        precision: str, model: nn.Module, *, compiled: bool = False
    ) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        multiplied = model.encoder.products("cpu", precision, batch_size=1)

        predict = torch.compile(model.predict, fullgraph=True) if compiled else model.predict

        def call(images: Tensor) -> tuple[Tensor, Tensor]:
            with autocast_inference("cpu", precision, multiplied=multiplied):
                return predict(images)

        return call

    modes = {
        EAGER: partial(in_precision, "float32"),
        "float32 compiled": partial(in_precision, "float32", compiled=True),
    }
    if fastest_precision("cpu") == "bfloat16":
        modes["bfloat16 eager"] = partial(in_precision, "bfloat16")
    return modes


@torch.inference_mode()
def _backbone_seconds(size: str) -> float:
    model, _ = eomt_pair(size, side=SIDE)
    values = model.encoder.normalize(random_images(1, SIDE))
    backbone = model.encoder.backbone
    return measure_fps(
        lambda: backbone.forward_features(values), device="cpu", max_seconds=10
    ).median_s


def _agreement(ours: tuple[Tensor, Tensor], theirs: Any) -> str:
    pairs = zip(ours, (theirs.masks_queries_logits, theirs.class_queries_logits), strict=True)
    apart = max((mine - other).abs().max().item() for mine, other in pairs)
    return f"logits at most {apart:.1e} apart"
