"""One training sample at 640: file to augmented image and target, in one process."""

from __future__ import annotations

from itertools import count

import torch

from benchmarks.compare import Comparison
from benchmarks.inputs import SIDE, Options, training_stream
from benchmarks.peers.mask_stack import MaskStackCoco
from eomtlib.evaluation.speed import time_in_turns

IMAGES_A_CALL = 8


def run(options: Options) -> list[Comparison]:
    """Both walk through the same images in order; each draws its own augmentation."""
    threads = torch.get_num_threads()
    # As in a loading process, which PyTorch limits to one thread: there are many at a time.
    torch.set_num_threads(1)
    try:
        return [_compare(options)]
    finally:
        torch.set_num_threads(threads)


def _compare(options: Options) -> Comparison:
    stream = training_stream(options, batch_size=IMAGES_A_CALL)
    batches = iter(stream.loader(steps=10**6))
    peer = MaskStackCoco(options.data, "train", SIDE)
    positions = (n % len(peer) for n in count())

    def ours() -> object:
        return next(batches)

    def theirs() -> object:
        return [peer[next(positions)] for _ in range(IMAGES_A_CALL)]

    image, target = peer[0]
    batch = next(batches)
    assert image.shape == batch.images.shape[1:] == (3, SIDE, SIDE)
    assert target["masks"].shape[1:] == batch.segments[0].size
    return Comparison(
        part="training sample, 640",
        peer="a mask per segment on torchvision's v2 transforms",
        samples=time_in_turns((ours, theirs), device="cpu", seconds=options.seconds),
        bar=8.0,
        agreement="same images, sizes and kinds of augmentation; draws differ",
        unit=f"{IMAGES_A_CALL} images",
    )
