"""Semantic segmentations: what classes all queries together give to each pixel, over windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from eomtlib.core.predictions import MaskLogits
from eomtlib.data.feed.windows import WindowLayout
from eomtlib.inference.postprocessing.resizing import (
    checked_masks,
    number_type,
    resize,
    resized_in_tiles,
)


def post_process_semantic_segmentation(
    mask_logits: Tensor | MaskLogits,
    class_logits: Tensor,
    *,
    target_sizes: Sequence[tuple[int, int]],
    input_size: tuple[int, int],
) -> list[Tensor]:
    """Makes a semantic segmentation of each image: the class of the highest score in each pixel.

    Args:
        mask_logits: ``[N, Q, h, w]``, or the factors of it, of the windows of all images in the
            order of ``data.feed.windows.WindowTransform``.
        class_logits: ``[N, Q, classes + 1]``, "no object" last.
        target_sizes: height and width of each image, as it was before it was resized.
        input_size: height and width of a window.

    Returns:
        For each image ``[H, W]`` int64 on the device of the logits, classes in every pixel.

    Raises:
        ConfigurationError: when numbers of windows or queries do not fit together.
    """
    all_scores = semantic_scores(
        mask_logits, class_logits, target_sizes=target_sizes, input_size=input_size
    )
    pairs = zip(all_scores, target_sizes, strict=True)
    return [_best_class(scores, tuple(size)) for scores, size in pairs]


def semantic_scores(
    mask_logits: Tensor | MaskLogits,
    class_logits: Tensor,
    *,
    target_sizes: Sequence[tuple[int, int]],
    input_size: tuple[int, int],
) -> Iterator[Tensor]:
    """The score of each class in each pixel of each resized image, one image after the other.

    A query gives a pixel its class probabilities times its mask probability there, the queries
    add up, and windows are averaged where they overlap (EoMT's evaluation; within a window it is
    Mask2Former's, Cheng et al., CVPR 2022).

    Args:
        mask_logits: as ``post_process_semantic_segmentation`` takes it.
        class_logits: likewise.
        target_sizes: likewise.
        input_size: likewise.

    Yields:
        ``[classes, *WindowLayout.size]`` float32, sums of probabilities, so 0 or more.

    Raises:
        ConfigurationError: when numbers of windows or queries do not fit together.
    """
    layouts = [WindowLayout.of(size, input_size) for size in target_sizes]
    count = sum(len(layout.offsets) for layout in layouts)
    masks = checked_masks(mask_logits, class_logits, expected=count, counted="windows")
    probabilities = class_logits.float().softmax(dim=-1)[..., :-1].transpose(1, 2)
    first = 0
    for layout in layouts:
        last = first + len(layout.offsets)
        # Of each window [classes, *input_size].
        claims = (
            resize(masks.of_queries(window, range(masks.shape[1])), input_size).sigmoid()
            for window in range(first, last)
        )
        windows = (
            (own @ claim.flatten(1)).unflatten(1, tuple(input_size))
            for own, claim in zip(probabilities[first:last], claims, strict=True)
        )
        yield _averaged(windows, layout)
        first = last


def _averaged(windows: Iterator[Tensor], layout: WindowLayout) -> Tensor:
    """The mean over the windows that show a pixel."""
    first = next(windows)
    if len(layout.offsets) == 1:
        return first
    total, counts = first.new_zeros(len(first), *layout.size), first.new_zeros(layout.size)
    for scores, (top, left) in zip(chain([first], windows), layout.offsets, strict=True):
        part = slice(top, top + scores.shape[1]), slice(left, left + scores.shape[2])
        total[:, *part] += scores
        counts[part] += 1
    return total.div_(counts)


def _best_class(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """The class of the highest score after resizing ``[classes, h, w]``; the first of equals."""
    best = scores.new_full(size, -1.0)
    winner = torch.zeros(size, dtype=number_type(len(scores)), device=scores.device)
    for classes, columns, part in resized_in_tiles(scores, size):
        # On CPUs max is several times as fast as argmax.
        found = part.max(dim=0)
        here = (found.indices + classes.start).to(winner.dtype)
        better = found.values > best[:, columns]
        winner[:, columns] = torch.where(better, here, winner[:, columns])
        best[:, columns] = torch.maximum(best[:, columns], found.values)
    return winner.long()
