"""One training step of EoMT-S with masks, 640, batch 2: forward, loss, backward, update."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.compare import Comparison, Sides, compare
from benchmarks.inputs import Options, training_stream
from benchmarks.peak import peaks_of
from benchmarks.peers.hugging_face import NUM_CLASSES, eomt_pair, mask_stacks
from eomtlib.core.machine.cpu_products import products
from eomtlib.core.structures import SegmentMap
from eomtlib.training.hyperparameters import OptimizerConfig
from eomtlib.training.loss import SegmentationLoss
from eomtlib.training.optimization import build_optimizer

BATCH = 2


def run(options: Options) -> list[Comparison]:
    """The same weights, the same batch; each with its own loss and AdamW."""
    return [
        compare(
            sides(options),
            part="training step, EoMT-S with masks, 640, batch 2",
            peer="transformers' EoMT and its loss",
            seconds=options.seconds,
            bar=2.0,
            unit=f"{BATCH} images",
            peak_mib=peaks_of("training_step", options),
        )
    ]


def sides(options: Options) -> Sides:
    """On real images."""
    stream = training_stream(options, batch_size=BATCH)
    batch = next(iter(stream.loader(steps=1)))
    return sides_of(batch.images, batch.segments)


def sides_of(images: Tensor, segments: Sequence[SegmentMap]) -> Sides:
    """Both return the loss of a step, each step from the weights that the last one left.

    Args:
        images: ``[B, 3, side, side]`` uint8.
        segments: their targets.
    """
    side = images.shape[-1]

    def ours() -> Callable[[], float]:
        model, _ = eomt_pair("small", side=side)
        model.train()
        loss = SegmentationLoss(NUM_CLASSES)
        optimizer, _ = build_optimizer(model, OptimizerConfig(), total_steps=1000)
        multiplied = model.encoder.products("cpu", "float32", batch_size=len(images))

        def step() -> float:
            optimizer.zero_grad()
            generators = [torch.Generator().manual_seed(i) for i in range(len(images))]
            with products(multiplied):
                out = loss(model(images), segments, generators=generators)
                out.total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
            return out.total.item()

        return step

    def theirs() -> Callable[[], float]:
        model, peer = eomt_pair("small", side=side)
        values = model.encoder.normalize(images)
        peer.train()
        peer.attn_mask_probs.fill_(1.0)
        masks, labels = mask_stacks([s.ids for s in segments], [s.labels for s in segments])
        optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-4, fused=True)

        def step() -> float:
            optimizer.zero_grad()
            out = peer(values, mask_labels=masks, class_labels=labels)
            out.loss.backward()
            torch.nn.utils.clip_grad_norm_(peer.parameters(), 0.01)
            optimizer.step()
            return out.loss.item()

        return step

    return Sides(
        ours,
        theirs,
        lambda mine, other: (
            f"loss of the first step {mine:.3f} and {other:.3f}, at points of their own"
        ),
    )
