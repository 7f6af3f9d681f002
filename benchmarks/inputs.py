"""The images that every part works on: real COCO, or scenes of our own at its size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import SegmentMap, fitted_size
from eomtlib.data.feed.loaders import TrainStream
from eomtlib.data.feed.transforms import TrainTransform
from eomtlib.data.sets.coco import CocoPanoptic

SIDE = 640
NUM_QUERIES = 200
# Of COCO's panoptic classes, the first are things.
NUM_THINGS = 80


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


def random_images(count: int, side: int) -> Tensor:
    """``[count, 3, side, side]`` uint8 noise, always the same."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def mosaic(num_segments: int, size: tuple[int, int], *, seed: int = 0) -> SegmentMap:
    """A map of so many segments, each the cells that are nearest to a random one.

    All are of the classes that COCO counts as things, so that none are merged.

    Args:
        num_segments: at least 1, at most the number of cells of 8 x 8 pixels.
        size: height and width in pixels, multiples of 8.
        seed: another one gives another map.
    """
    rows, columns = size[0] // 8, size[1] // 8
    generator = torch.Generator().manual_seed(seed)
    cells = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float()
    centres = cells[torch.randperm(len(cells), generator=generator)[:num_segments]]
    nearest = torch.cdist(cells, centres).argmin(dim=1).view(rows, columns)
    ids = nearest.repeat_interleave(8, dim=0).repeat_interleave(8, dim=1)
    return SegmentMap(
        ids=ids[None].to(torch.int16),
        labels=torch.arange(num_segments) % NUM_THINGS,
        is_crowd=torch.zeros(num_segments, dtype=torch.bool),
    )


def likely_predictions(
    segments: SegmentMap, num_classes: int, *, num_queries: int = NUM_QUERIES, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Mask and class logits as a trained model might give them for one image.

    Each segment has a query whose mask is the segment's, softened, and whose class is certain; the
    other queries are certain to be nothing.

    Returns:
        ``[1, queries, 160, 160]`` and ``[1, queries, classes + 1]``.
    """
    generator = torch.Generator().manual_seed(seed)
    cells = SIDE // 4
    height, width = (side // 4 for side in fitted_size(segments.size, (SIDE, SIDE)))
    masks = -4 + torch.randn(num_queries, cells, cells, generator=generator)
    classes = torch.randn(num_queries, num_classes + 1, generator=generator)
    classes[:, -1] += 12
    for query in range(min(segments.num_segments, num_queries)):
        mask = (segments.ids[0] == query).float()[None, None]
        small = F.interpolate(mask, size=(height, width), mode="bilinear", antialias=True)[0, 0]
        masks[query, :height, :width] += 8 * small
        classes[query, -1] -= 12
        classes[query, segments.labels[query]] += 12
    return masks[None], classes[None]
