"""From an image file to its panoptic map with EoMT-S."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.compare import Comparison
from benchmarks.inputs import SIDE, Options, val_set
from benchmarks.peers.hugging_face import eomt_pair, processor
from eomtlib.core.machine.precision import fastest_precision
from eomtlib.core.structures import stuff_classes
from eomtlib.data.feed.transforms import EvalTransform
from eomtlib.evaluation.speed import time_in_turns
from eomtlib.inference.folding import fold
from eomtlib.inference.row_attention import autocast_inference
from eomtlib.inference.segmenter import Segmenter

NUM_IMAGES = 8


@torch.inference_mode()
def run(options: Options) -> list[Comparison]:
    """Our segmenter as it comes, in the precision that suits the CPU, and in float32.

    Random weights are sure of nothing, so thresholds are lowered until 40 queries are kept.
    """
    stuff = sorted(stuff_classes(val_set(options).classes))
    files = sorted((options.data / "val2017").glob("*.jpg"))[:NUM_IMAGES]
    model, reference = eomt_pair("small", side=SIDE)
    threshold = _threshold(model, files[0])
    theirs = _their_way(reference, stuff, threshold)
    fastest = fastest_precision("cpu")
    comparisons = []
    for precision in dict.fromkeys((fastest, "float32")):
        ours = Segmenter(
            model,
            stuff_classes=stuff,
            precision=precision,
            threshold=threshold,
            overlap_mask_area_threshold=0.0,
        )
        pairs = [(ours(path), theirs(path)) for path in files]
        same = [(a["segmentation"] == b["segmentation"]).float().mean().item() for a, b in pairs]
        segments = [len(a["segments_info"]) for a, _ in pairs]
        turns, their_turns = cycle(files), cycle(files)
        comparisons.append(
            Comparison(
                part=f"image file to panoptic map, EoMT-S, 640, {precision}",
                peer="transformers' processor, model and post-processing, float32, same weights",
                samples=time_in_turns(
                    (
                        lambda ours=ours, turns=turns: ours(next(turns)),
                        lambda turns=their_turns: theirs(next(turns)),
                    ),
                    device="cpu",
                    seconds=options.seconds,
                    min_rounds=len(files),
                ),
                bar=2.2 if precision == fastest else None,
                agreement=f"{100 * np.mean(same):.1f} % of pixels alike, {np.mean(segments):.0f} "
                "segments an image, at random weights, whose masks nearly tie; mask logits are "
                f"{100 * _apart(model, files[0], precision):.1g} % of their spread from float32's",
                unit="1 image",
            )
        )
    return comparisons


def _their_way(
    model: nn.Module, stuff: list[int], threshold: float
) -> Callable[[Path], dict[str, object]]:
    peer = processor(SIDE)

    def segment(path: Path) -> dict[str, object]:
        image = Image.open(path).convert("RGB")
        inputs = peer(images=image, return_tensors="pt")
        return peer.post_process_panoptic_segmentation(
            model(inputs["pixel_values"]),
            target_sizes=[(image.height, image.width)],
            stuff_classes=stuff,
            threshold=threshold,
            overlap_mask_area_threshold=0.0,
        )[0]

    return segment


def _fitted(path: Path) -> Tensor:
    pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)
    return EvalTransform((SIDE, SIDE)).fit(pixels)[None]


def _apart(model: nn.Module, path: Path, precision: str) -> float:
    """Root mean square of what a precision changes, as a share of the logits' deviation."""
    exact, _ = model.predict(_fitted(path))
    with autocast_inference("cpu", precision):
        found, _ = fold(model).predict(_fitted(path))
    return ((found - exact).square().mean().sqrt() / exact.std()).item()


def _threshold(model: nn.Module, path: Path) -> float:
    _, classes = model.predict(_fitted(path))
    scores, labels = classes.softmax(-1).max(-1)
    kept = scores[labels != classes.shape[-1] - 1]
    return kept.topk(min(40, len(kept))).values[-1].item()
