"""One training step of EoMT-S with masks, 640, batch 2: forward, loss, backward, update."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.compare import Comparison, time_pairs
from benchmarks.inputs import SIDE, Options, training_stream
from benchmarks.peak import peaks_of
from benchmarks.peers.hugging_face import NUM_CLASSES, eomt_pair, mask_stacks
from eomtlib.hyperparameters import OptimizerConfig
from eomtlib.training.loss import SegmentationLoss
from eomtlib.training.optimization import build_optimizer

BATCH = 2


def sides(options: Options) -> dict[str, Callable[[], Callable[[], float]]]:
    """Side → what builds it and returns its step; each can be built alone, to weigh its memory."""
    stream = training_stream(options, batch_size=BATCH)
    batch = next(iter(stream.loader(steps=1)))

    def ours() -> Callable[[], float]:
        model, _ = eomt_pair("small", side=SIDE)
        model.train()
        loss = SegmentationLoss(NUM_CLASSES)
        optimizer, _ = build_optimizer(model, OptimizerConfig(), total_steps=1000)

        def step() -> float:
            optimizer.zero_grad()
            generators = [torch.Generator().manual_seed(i) for i in range(BATCH)]
            out = loss(model(batch.images), batch.segments, generators=generators)
            out.total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
            return out.total.item()

        return step

    def theirs() -> Callable[[], float]:
        model, peer = eomt_pair("small", side=SIDE)
        values = model.encoder.normalize(batch.images)
        peer.train()
        peer.attn_mask_probs.fill_(1.0)
        masks, labels = mask_stacks(
            [s.ids for s in batch.segments], [s.labels for s in batch.segments]
        )
        optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-4, fused=True)

        def step() -> float:
            optimizer.zero_grad()
            out = peer(values, mask_labels=masks, class_labels=labels)
            out.loss.backward()
            torch.nn.utils.clip_grad_norm_(peer.parameters(), 0.01)
            optimizer.step()
            return out.loss.item()

        return step

    return {"ours": ours, "theirs": theirs}


def run(options: Options) -> list[Comparison]:
    """The same weights, the same batch; each with its own loss and AdamW."""
    built = {name: build() for name, build in sides(options).items()}
    first = {name: step() for name, step in built.items()}
    return [
        Comparison(
            part="training step, EoMT-S with masks, 640, batch 2",
            peer="transformers' EoMT and its loss",
            samples=time_pairs(built["ours"], built["theirs"], seconds=options.seconds),
            bar=1.35,
            agreement=f"loss of the first step {first['ours']:.3f} and {first['theirs']:.3f}, at "
            "points of their own",
            unit=f"{BATCH} images",
            peak_mib=peaks_of("training_step", options),
        )
    ]
