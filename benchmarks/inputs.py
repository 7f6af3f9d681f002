"""The images that every part works on: real COCO, or scenes of our own at its size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from eomtlib.data.coco import CocoPanoptic
from eomtlib.data.loading import TrainStream
from eomtlib.data.transforms import TrainTransform
from eomtlib.errors import ConfigurationError
from eomtlib.structures import SegmentMap, fitted_size

SIDE = 640
NUM_QUERIES = 200


@dataclass(frozen=True)
class Options:
    """How a part is run.

    Attributes:
        data: a folder in COCO's layout.
        seconds: to spend on each comparison.
        device: to run on.
    """

    data: Path
    seconds: float
    device: str = "cpu"


def find_data(given: str) -> Path:
    """The folder that was given, else ``$EOMTLIB_COCO``.

    Raises:
        ConfigurationError: when there is none.
    """
    path = Path(given or os.environ.get("EOMTLIB_COCO", "")).expanduser()
    if not given and "EOMTLIB_COCO" not in os.environ:
        raise ConfigurationError(
            "The benchmarks need real images: set --data or EOMTLIB_COCO to a folder in COCO's "
            "layout (train2017, val2017, annotations/panoptic_*); some hundred images will do."
        )
    return path


def training_stream(options: Options, *, batch_size: int) -> TrainStream:
    """Augmented training images at 640, read in this process."""
    return TrainStream(
        dataset=CocoPanoptic(options.data, "train"),
        transform=TrainTransform((SIDE, SIDE)),
        batch_size=batch_size,
        seed=0,
        num_workers=0,
    )


def val_set(options: Options) -> CocoPanoptic:
    """Validation images with their segments."""
    return CocoPanoptic(options.data, "val")


def likely_predictions(
    segments: SegmentMap, num_classes: int, *, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Mask and class logits as a trained model might give them for one image.

    Each segment has a query whose mask is the segment's, softened, and whose class is certain; the
    other queries are certain to be nothing.

    Returns:
        ``[1, 200, 160, 160]`` and ``[1, 200, classes + 1]``.
    """
    generator = torch.Generator().manual_seed(seed)
    cells = SIDE // 4
    height, width = (side // 4 for side in fitted_size(segments.size, (SIDE, SIDE)))
    masks = -4 + torch.randn(NUM_QUERIES, cells, cells, generator=generator)
    classes = torch.randn(NUM_QUERIES, num_classes + 1, generator=generator)
    classes[:, -1] += 12
    for query in range(min(segments.num_segments, NUM_QUERIES)):
        mask = (segments.ids[0] == query).float()[None, None]
        small = F.interpolate(mask, size=(height, width), mode="bilinear", antialias=True)[0, 0]
        masks[query, :height, :width] += 8 * small
        classes[query, -1] -= 12
        classes[query, segments.labels[query]] += 12
    return masks[None], classes[None]
