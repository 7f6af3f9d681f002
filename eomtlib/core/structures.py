"""What the rooms of the library hand to each other: targets, tokens, samples.

Every tensor that crosses a border between data, models, training and evaluation is described here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

VOID = -1


@dataclass(frozen=True)
class Tokens:
    """The state of an encoder between two blocks; the encoder itself holds nothing of an input.

    The order along the token axis is queries, prefix tokens (class and register tokens), patches.

    Attributes:
        x: ``[B, N, D]`` with ``N = num_queries + num_prefix + grid[0] * grid[1]``.
        grid: rows and columns of patches.
        num_prefix: class and register tokens.
        num_queries: queries put in front.
        rope: ``[num_queries + patches, 2 * head_dim]``, sines then cosines, where the encoder has
            rotary embeddings; ``[blocks, heads, ...]`` of them where they are learned. timm's
            attention leaves the first ``num_prefix`` tokens alone and rotates the rest, which with
            queries in front includes as many tokens that must not turn: their rows are the
            identity.
    """

    x: Tensor
    grid: tuple[int, int]
    num_prefix: int
    num_queries: int = 0
    rope: Tensor | None = None

    @property
    def patches(self) -> Tensor:
        """The patch tokens ``[B, grid[0] * grid[1], D]``."""
        return self.x[:, self.num_queries + self.num_prefix :]

    @property
    def queries(self) -> Tensor:
        """The query tokens ``[B, num_queries, D]``."""
        return self.x[:, : self.num_queries]

    def with_x(self, x: Tensor) -> Tokens:
        """The same layout around another tensor."""
        return replace(self, x=x)

    def with_queries(self, queries: Tensor) -> Tokens:
        """Puts ``[B, Q, D]`` queries in front of all tokens, none of them rotated."""
        rope = self.rope
        if rope is not None:
            shape = (*rope.shape[:-2], queries.shape[1], rope.shape[-1] // 2)
            still = torch.cat((rope.new_zeros(shape), rope.new_ones(shape)), -1)
            rope = torch.cat((still, rope), dim=-2)
        x = torch.cat((queries.to(self.x.dtype), self.x), dim=1)
        return replace(self, x=x, num_queries=queries.shape[1], rope=rope)


@dataclass(frozen=True)
class SegmentMap:
    """The segments of an image as one integer map: the only target type of the library.

    Attributes:
        ids: ``[K, H, W]`` int16; each value is an index into ``labels``, or −1 for void. K is 1 for
            panoptic and semantic targets; overlapping instances take more layers. A segment lives
            in exactly one layer.
        labels: ``[S]`` int64, the class of each segment, in ``[0, num_classes)``.
        is_crowd: ``[S]`` bool. Crowd segments are no training target and are excused in evaluation.
    """

    ids: Tensor
    labels: Tensor
    is_crowd: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.ids.shape[-2], self.ids.shape[-1]

    @property
    def num_segments(self) -> int:
        """Number of entries in ``labels``, crowds included, whether or not they show in the map."""
        return self.labels.shape[0]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> SegmentMap:
        """A copy on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> SegmentMap:
        """A copy in page-locked memory; called by the data loader."""
        return self._each(Tensor.pin_memory)

    def __reduce__(self) -> tuple[Callable, tuple]:
        # As arrays: workers hand over many maps, and each tensor would hold a file descriptor.
        parts = (self.ids, self.labels, self.is_crowd)
        return _of_arrays, tuple(part.cpu().numpy() for part in parts)

    def _each(self, change: Callable[[Tensor], Tensor]) -> SegmentMap:
        return SegmentMap(change(self.ids), change(self.labels), change(self.is_crowd))


def _of_arrays(*parts: np.ndarray) -> SegmentMap:
    return SegmentMap(*map(torch.from_numpy, parts))


_BY_SAMPLE = ("images", "segments", "image_ids", "indices", "original_sizes")


@dataclass(frozen=True)
class Batch:
    """Samples of one size, stacked.

    Attributes:
        images: ``[B, 3, H, W]`` uint8; for evaluation in windows those of all images, in order.
        segments: one target for each image, at the size of ``images`` for training, at the original
            size for evaluation.
        image_ids: the ids that the annotation file gives.
        indices: positions in the data set, or in the stream of training samples: the keys of their
            draws.
        original_sizes: height and width of each image file.
        step: the training step that the batch belongs to; 0 in evaluation.
    """

    images: Tensor
    segments: tuple[SegmentMap, ...]
    image_ids: tuple[int, ...]
    indices: tuple[int, ...]
    original_sizes: tuple[tuple[int, int], ...]
    step: int = 0

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """A copy on another device."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=non_blocking),
            segments=tuple(s.to(device, non_blocking=non_blocking) for s in self.segments),
        )

    def pin_memory(self) -> Batch:
        """A copy in page-locked memory; called by the data loader."""
        return replace(
            self,
            images=self.images.pin_memory(),
            segments=tuple(s.pin_memory() for s in self.segments),
        )

    def split(self, parts: int) -> list[Batch]:
        """The same samples, in their order, as ``parts`` batches of one size."""
        size = len(self) // parts
        spans = [slice(start, start + size) for start in range(0, len(self), size)]
        return [
            replace(self, **{name: getattr(self, name)[span] for name in _BY_SAMPLE})
            for span in spans
        ]

    def __len__(self) -> int:
        return len(self.segments)


@dataclass(frozen=True)
class ClassInfo:
    """One class of a data set.

    Attributes:
        name: as the annotation file spells it.
        is_thing: countable objects are things, the rest is stuff.
        category_id: the id that the annotation file uses; the position in the list of classes is
            the class index that models predict.
        color: to draw it in, red, green, blue, 0 to 255; None where nobody says. Classes that
            differ in nothing else are equal.
    """

    name: str
    is_thing: bool
    category_id: int
    color: tuple[int, int, int] | None = field(default=None, compare=False)


def rgb(digits: str) -> tuple[int, int, int]:
    """``dc143c`` → red, green, blue, 0 to 255."""
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def stuff_classes(classes: Sequence[ClassInfo]) -> frozenset[int]:
    """The indices of the classes that are stuff."""
    return frozenset(index for index, info in enumerate(classes) if not info.is_thing)


def fitted_size(original: Sequence[int], canvas: Sequence[int]) -> tuple[int, int]:
    """Height and width of an image scaled to lie inside a canvas, its aspect ratio kept.

    One side touches the canvas and the other is rounded (EoMT, evaluation of panoptic and
    instance segmentation: the longer side is resized to the input size, the rest is padded).
    """
    scale = min(canvas[0] / original[0], canvas[1] / original[1])
    height = min(canvas[0], max(1, round(original[0] * scale)))
    width = min(canvas[1], max(1, round(original[1] * scale)))
    return height, width
