"""How time and memory grow with image size, queries, segments and batch.

Along a curve one quantity changes. Images are noise and targets mosaics, so that nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.compare import Comparison, Sides, compare
from benchmarks.inputs import NUM_THINGS, Options, mosaic, random_images
from benchmarks.parts import forward, loss, postprocessing, training_step
from benchmarks.peak import peaks_of
from benchmarks.peers.hugging_face import NUM_CLASSES
from eomtlib.core.structures import SegmentMap

QUERIES = (50, 100, 200, 400)
SEGMENTS = (5, 20, 50, 100)
# Segments per image where something else changes; as many as ``eomtlib.evaluation.speed`` keeps.
FIXED_SEGMENTS = 20
LOSS_IMAGES = 2
TRAINING_SIDE = 320


@dataclass(frozen=True)
class Curve:
    """One comparison, made again at several values of one quantity.

    Attributes:
        part, peer, unit: as in ``Comparison``.
        quantity: what changes.
        values: that it takes, in ascending order.
        sides: what is compared at a value.
    """

    part: str
    peer: str
    unit: str
    quantity: str
    values: tuple[int, ...]
    sides: Callable[[int], Sides]


def run(options: Options) -> Iterator[Comparison]:
    """Each curve's seconds are shared among its points; memory is measured in their own time."""
    for name, curve in CURVES.items():
        for value in curve.values:
            yield compare_at(
                curve,
                value,
                seconds=options.seconds / len(curve.values),
                peak_mib=peaks_of("scaling", options, name, str(value)),
            )


def compare_at(
    curve: Curve, value: int, *, seconds: float, peak_mib: tuple[float, float] | None = None
) -> Comparison:
    """One point of a curve, of at least three pairs."""
    return compare(
        curve.sides(value),
        part=curve.part,
        peer=curve.peer,
        unit=curve.unit,
        seconds=seconds,
        min_pairs=3,
        peak_mib=peak_mib,
        at=(curve.quantity, value),
    )


def sides(options: Options, name: str, value: str) -> Sides:
    """One point of one of ``CURVES``, as ``benchmarks.peak`` asks for it."""
    return CURVES[name].sides(int(value))


def _loss(*, num_queries: int, num_segments: int) -> Sides:
    return loss.sides(_targets(LOSS_IMAGES, num_segments), num_queries=num_queries)


def _postprocessing(*, num_queries: int, num_segments: int) -> Sides:
    return postprocessing.sides(
        [mosaic(num_segments, (480, 640))],
        stuff=list(range(NUM_THINGS, NUM_CLASSES)),
        num_queries=num_queries,
    )


def training(batch: int, *, side: int = TRAINING_SIDE) -> Sides:
    """Training steps on so many square images of so many pixels a side."""
    targets = _targets(batch, FIXED_SEGMENTS, side=side)
    return training_step.sides_of(random_images(batch, side), targets)


def _targets(count: int, num_segments: int, *, side: int = 640) -> tuple[SegmentMap, ...]:
    return tuple(mosaic(num_segments, (side, side), seed=index) for index in range(count))


CURVES = {
    "forward": Curve(
        part="EoMT-S, forward",
        peer="transformers' EoMT",
        unit="1 image",
        quantity="image side (pixels)",
        values=(320, 480, 640, 960),
        sides=lambda side: forward.sides("small", side=side),
    ),
    "loss-queries": Curve(
        part="loss and matching",
        peer="transformers' Mask2FormerLoss",
        unit=f"{LOSS_IMAGES} images",
        quantity=f"queries, {FIXED_SEGMENTS} segments",
        values=QUERIES,
        sides=lambda count: _loss(num_queries=count, num_segments=FIXED_SEGMENTS),
    ),
    "loss-segments": Curve(
        part="loss and matching",
        peer="transformers' Mask2FormerLoss",
        unit=f"{LOSS_IMAGES} images",
        quantity="segments per image, 200 queries",
        values=SEGMENTS,
        sides=lambda count: _loss(num_queries=200, num_segments=count),
    ),
    "postprocessing-queries": Curve(
        part="panoptic post-processing",
        peer="transformers' post_process_panoptic_segmentation",
        unit="1 image",
        quantity=f"queries, {FIXED_SEGMENTS} segments",
        values=QUERIES,
        sides=lambda count: _postprocessing(num_queries=count, num_segments=FIXED_SEGMENTS),
    ),
    "postprocessing-segments": Curve(
        part="panoptic post-processing",
        peer="transformers' post_process_panoptic_segmentation",
        unit="1 image",
        quantity="segments per image, 200 queries",
        values=SEGMENTS,
        sides=lambda count: _postprocessing(num_queries=200, num_segments=count),
    ),
    "training": Curve(
        part=f"training step, EoMT-S with masks, {TRAINING_SIDE}",
        peer="transformers' EoMT and its loss",
        unit="1 batch",
        quantity="images in the batch",
        values=(1, 2, 4),
        sides=training,
    ),
}
"""Name → curve."""
