"""From 200 queries to a panoptic map at the image's own size, and from there to PQ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from types import SimpleNamespace

import torch
from torch import Tensor
from torchmetrics.detection import PanopticQuality as PeerQuality

from benchmarks.compare import Comparison, Sides
from benchmarks.inputs import NUM_QUERIES, SIDE, Options, likely_predictions, val_set
from benchmarks.peers.hugging_face import NUM_CLASSES, processor
from eomtlib.core.structures import ClassInfo, SegmentMap, stuff_classes
from eomtlib.evaluation.metrics.panoptic_quality import PanopticQuality
from eomtlib.evaluation.speed import time_in_turns
from eomtlib.inference.postprocessing import post_process_panoptic_segmentation

NUM_IMAGES = 16


@torch.inference_mode()
def run(options: Options) -> list[Comparison]:
    """Predictions made of the ground truth, so that many queries are kept, as in real use."""
    dataset = val_set(options)
    targets = [dataset.read(index)[1] for index in range(min(NUM_IMAGES, len(dataset)))]
    both = sides(targets, stuff=sorted(stuff_classes(dataset.classes)))
    ours, theirs = both.ours(), both.theirs()
    segmented, others = [ours() for _ in targets], [theirs() for _ in targets]
    same = [_alike(*pair) for pair in zip(segmented, others, strict=True)]
    kept = sum(len(own["segments_info"]) for own in segmented) / len(segmented)
    return [
        Comparison(
            part=f"panoptic post-processing, 200 queries, {kept:.0f} segments kept",
            peer="transformers' post_process_panoptic_segmentation",
            samples=time_in_turns(
                (ours, theirs), device="cpu", seconds=options.seconds, min_rounds=len(targets)
            ),
            bar=8.0,
            agreement=f"{100 * min(same):.2f} % of an image's pixels alike, at least",
            unit="1 image",
        ),
        _quality(options, dataset.classes, targets, segmented),
    ]


def sides(
    targets: Sequence[SegmentMap], *, stuff: list[int], num_queries: int = NUM_QUERIES
) -> Sides:
    """Each call is one image's, in turns, and returns its segmentation.

    Args:
        targets: that predictions are made of.
        stuff: classes whose segments are merged.
        num_queries: that are predicted.
    """

    def turns() -> Iterator[tuple[SegmentMap, tuple[Tensor, Tensor]]]:
        return cycle(
            [
                (target, likely_predictions(target, NUM_CLASSES, num_queries=num_queries))
                for target in targets
            ]
        )

    def ours() -> Callable[[], dict]:
        inputs = turns()

        def call() -> dict:
            target, predictions = next(inputs)
            return post_process_panoptic_segmentation(
                *predictions,
                target_sizes=[target.size],
                input_size=(SIDE, SIDE),
                stuff_classes=stuff,
            )[0]

        return torch.inference_mode()(call)

    def theirs() -> Callable[[], dict]:
        inputs, peer = turns(), processor(SIDE)

        def call() -> dict:
            target, (masks, classes) = next(inputs)
            outputs = SimpleNamespace(masks_queries_logits=masks, class_queries_logits=classes)
            return peer.post_process_panoptic_segmentation(
                outputs, target_sizes=[target.size], stuff_classes=stuff
            )[0]

        return torch.inference_mode()(call)

    return Sides(
        ours, theirs, lambda mine, other: f"{100 * _alike(mine, other):.2f} % of pixels alike"
    )


def _alike(ours: dict, theirs: dict) -> float:
    return (ours["segmentation"] == theirs["segmentation"]).float().mean().item()


def _quality(
    options: Options,
    classes: tuple[ClassInfo, ...],
    targets: list[SegmentMap],
    segmented: list[dict],
) -> Comparison:
    stuffs = stuff_classes(classes)
    things = set(range(len(classes))) - stuffs
    # Crowds are left out, of which torchmetrics knows nothing.
    targets = [_without_crowds(target) for target in targets]
    quality = PanopticQuality(classes)
    peer = PeerQuality(things, stuffs, allow_unknown_preds_category=True)
    pairs = [
        (_as_pairs(own["segmentation"], [s["label_id"] for s in own["segments_info"]]), target)
        for own, target in zip(segmented, targets, strict=True)
    ]
    theirs_in = [
        (found[None], _as_pairs(target.ids[0].int(), target.labels.tolist())[None])
        for found, target in pairs
    ]
    ours_in = list(zip(segmented, targets, strict=True))
    turns, their_turns = cycle(ours_in), cycle(theirs_in)
    samples = time_in_turns(
        (lambda: quality.update(*next(turns)), lambda: peer.update(*next(their_turns))),
        device="cpu",
        seconds=options.seconds,
        min_rounds=len(targets),
    )
    fresh, other = PanopticQuality(classes), PeerQuality(things, stuffs, True)
    for arguments in ours_in:
        fresh.update(*arguments)
    for arguments in theirs_in:
        other.update(*arguments)
    found = fresh.compute().metrics["pq"], 100 * float(other.compute())
    return Comparison(
        part="PQ, one image added",
        peer="torchmetrics' PanopticQuality",
        samples=samples,
        bar=100.0,
        agreement=f"PQ over these images {found[0]:.2f} and {found[1]:.2f}: torchmetrics excuses "
        "misses where nothing was predicted, panopticapi, which ours equals (tests), does not",
        unit="1 image",
    )


def _without_crowds(target: SegmentMap) -> SegmentMap:
    kept = (~target.is_crowd).nonzero()[:, 0]
    # The last entry stands for void, which −1 points to.
    new_ids = torch.full((target.num_segments + 1,), -1, dtype=target.ids.dtype)
    new_ids[kept] = torch.arange(len(kept), dtype=target.ids.dtype)
    ids = new_ids[target.ids.long()]
    return SegmentMap(ids, target.labels[kept], target.is_crowd[kept])


def _as_pairs(ids: Tensor, labels: list[int]) -> Tensor:
    """``[H, W, 2]`` of class and instance; where nothing is, a class that does not exist."""
    lookup = torch.tensor([*labels, 10_000])
    return torch.stack((lookup[ids.long()], ids.long().clamp(min=-1) + 1), dim=-1)
