"""Panoptic segmentations: each pixel to the surest query that claims it, stuff merged by class."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from eomtlib.core.predictions import MaskLogits
from eomtlib.core.structures import VOID
from eomtlib.inference.postprocessing.resizing import (
    checked_masks,
    in_parts,
    pixel_counts,
    resize_to_image,
)


def post_process_panoptic_segmentation(
    mask_logits: Tensor | MaskLogits,
    class_logits: Tensor,
    *,
    target_sizes: Sequence[tuple[int, int]],
    input_size: tuple[int, int],
    stuff_classes: Collection[int],
    threshold: float = 0.8,
    mask_threshold: float = 0.5,
    overlap_mask_area_threshold: float = 0.8,
) -> list[dict[str, Any]]:
    """Makes a panoptic segmentation of each image.

    A query is kept if its best class is not "no object" and scores above ``threshold``. Each pixel
    goes to the kept query with the highest score times mask probability, and stays where that
    query's own mask reaches ``mask_threshold``. A segment is dropped when it won fewer pixels than
    ``overlap_mask_area_threshold`` times its own mask's. Segments of one stuff class are one.

    Args:
        mask_logits: ``[B, Q, h, w]``, such as ``model.predict(images)[0]``; or the factors of it,
            ``model.predict_final(images).masks[0]``, of which only what is kept is multiplied.
        class_logits: ``[B, Q, classes + 1]``, "no object" last.
        target_sizes: height and width of each image, as it was before it was fitted.
        input_size: height and width of the canvas that the model saw, with the image scaled to
            ``structures.fitted_size`` at its top left and padding elsewhere.
        stuff_classes: classes whose segments are merged.
        threshold: of the score of the class, in [0, 1].
        mask_threshold: of the mask probability, in [0, 1].
        overlap_mask_area_threshold: in [0, 1].

    Returns:
        For each image ``segmentation``, ``[H, W]`` int32 on the device of the logits, −1 where
        nothing is, and ``segments_info``, a list of ``{"id", "label_id", "score", "was_fused"}``
        with ids 0, 1, 2, … in the order of queries. A merged segment has its first query's score.

    Raises:
        ConfigurationError: when numbers of images or queries do not fit together.
    """
    masks = checked_masks(mask_logits, class_logits, expected=len(target_sizes))
    scores, labels = class_logits.float().softmax(dim=-1).max(dim=-1)
    kept = (labels != class_logits.shape[-1] - 1) & (scores > threshold)
    # The one transfer for the batch; float32 holds labels exactly.
    table = torch.stack((scores, labels.float(), kept.float()), dim=-1).tolist()
    results = []
    for index, rows in enumerate(table):
        queries = [query for query, (_, _, keep) in enumerate(rows) if keep]
        segmentation, segments_info = _segment_image(
            # float32, as half precision would merge neighbouring logits.
            masks.of_queries(index, queries),
            scores=[rows[query][0] for query in queries],
            labels=[int(rows[query][1]) for query in queries],
            target_size=tuple(target_sizes[index]),
            input_size=input_size,
            stuff_classes=stuff_classes,
            mask_threshold=mask_threshold,
            overlap_mask_area_threshold=overlap_mask_area_threshold,
        )
        results.append({"segmentation": segmentation, "segments_info": segments_info})
    return results


def _segment_image(
    mask_logits: Tensor,
    *,
    scores: list[float],
    labels: list[int],
    target_size: tuple[int, int],
    input_size: tuple[int, int],
    stuff_classes: Collection[int],
    mask_threshold: float,
    overlap_mask_area_threshold: float,
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Segments one image from the masks ``[K, h, w]`` of the queries that were kept."""
    count = len(scores)
    if not count:
        nothing = torch.full(target_size, VOID, dtype=torch.int32, device=mask_logits.device)
        return nothing, []
    winner, visible, own_area = _surest(
        mask_logits,
        mask_logits.new_tensor(scores),
        target_size=target_size,
        input_size=input_size,
        mask_threshold=mask_threshold,
    )
    # Per query the pixels that it won outside of its own mask, and inside: both from one count.
    won = torch.bincount((2 * winner + visible).flatten(), minlength=2 * count).view(count, 2)
    # The one transfer for the image.
    areas = torch.cat((won, own_area[:, None]), dim=1).tolist()

    id_of_query = [VOID] * count
    segments_info: list[dict[str, Any]] = []
    id_of_stuff: dict[int, int] = {}
    for query, (outside, inside, own_pixels) in enumerate(areas):
        if not inside or (outside + inside) / own_pixels < overlap_mask_area_threshold:
            continue
        label, is_stuff = labels[query], labels[query] in stuff_classes
        if is_stuff and label in id_of_stuff:
            id_of_query[query] = id_of_stuff[label]
            continue
        id_of_query[query] = segment_id = len(segments_info)
        if is_stuff:
            id_of_stuff[label] = segment_id
        segments_info.append(
            {
                "id": segment_id,
                "label_id": label,
                "score": scores[query],
                "was_fused": is_stuff,
            }
        )
    ids = torch.tensor([*id_of_query, VOID], dtype=torch.int32, device=winner.device)
    return ids[torch.where(visible, winner, count)], segments_info


def _surest(
    mask_logits: Tensor,
    scores: Tensor,
    *,
    target_size: tuple[int, int],
    input_size: tuple[int, int],
    mask_threshold: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The query of the highest score times mask probability in each pixel; the first of equals.

    Args:
        mask_logits: ``[K, h, w]``, K at least 1.
        scores: ``[K]``.
        target_size: ``(H, W)``.
        input_size: of the canvas.
        mask_threshold: that a mask's probability reaches where it is.

    Returns:
        The queries ``[H, W]`` int64; whether their own masks are there, ``[H, W]`` bool; and the
        pixels of each of the K masks, ``[K]`` int32.
    """
    best = winner = visible = None
    own_areas, start = [], 0
    for part in in_parts(mask_logits, target_size):
        logits = resize_to_image(part, target_size=target_size, input_size=input_size)
        probability = logits.sigmoid()
        own = probability >= mask_threshold
        own_areas.append(pixel_counts(own))
        # On CPUs max is several times as fast as argmax.
        found = probability.mul_(scores[start : start + len(part), None, None]).max(dim=0)
        there = own.gather(0, found.indices[None])[0]
        if best is None:
            best, winner, visible = found.values, found.indices, there
        else:
            better = found.values > best
            winner = torch.where(better, found.indices + start, winner)
            visible = torch.where(better, there, visible)
            best = torch.maximum(best, found.values)
        start += len(part)
    return winner, visible, torch.cat(own_areas)
