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
    number_type,
    pixel_counts,
    resized_in_tiles,
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
    for image, (rows, size) in enumerate(zip(table, target_sizes, strict=True)):
        size, queries = tuple(size), [query for query, row in enumerate(rows) if row[2]]
        segments_info: list[dict[str, Any]] = []
        if not queries:
            ids = torch.full(size, VOID, dtype=torch.int32, device=class_logits.device)
            results.append({"segmentation": ids, "segments_info": segments_info})
            continue
        # float32, as half precision would merge neighbouring logits.
        logits = masks.of_queries(image, queries)
        winner, areas = _surest(
            logits,
            scores[image, queries],
            size=size,
            input_size=input_size,
            mask_threshold=mask_threshold,
        )
        id_of_query = [VOID] * len(queries)
        id_of_stuff: dict[int, int] = {}
        # The one transfer for the image.
        for place, (outside, inside, own_pixels) in enumerate(areas.tolist()):
            won = (outside + inside) / max(own_pixels, 1)
            if not inside or won < overlap_mask_area_threshold:
                continue
            score, label = rows[queries[place]][0], int(rows[queries[place]][1])
            id_of_query[place] = segment_id = id_of_stuff.get(label, len(segments_info))
            if segment_id < len(segments_info):
                continue
            if is_stuff := label in stuff_classes:
                id_of_stuff[label] = segment_id
            segments_info.append(
                {"id": segment_id, "label_id": label, "score": score, "was_fused": is_stuff}
            )
        # Nothing where the winner's own mask is not.
        table = [number for own in id_of_query for number in (VOID, own)]
        ids = torch.tensor(table, dtype=torch.int32, device=winner.device)
        results.append({"segmentation": ids[winner.long()], "segments_info": segments_info})
    return results


def _surest(
    maps: Tensor,
    scores: Tensor,
    *,
    size: tuple[int, int],
    input_size: tuple[int, int],
    mask_threshold: float,
) -> tuple[Tensor, Tensor]:
    """The query of the highest score times mask probability in each pixel; the first of equals.

    Args:
        maps: mask logits of all K queries, ``[K, h, w]`` float32.
        scores: ``[K]``.
        size: height and width of the image.
        input_size: of the canvas.
        mask_threshold: that a mask's probability reaches where it is.

    Returns:
        ``[*size]`` of a small type, in each pixel twice the query, and one more where its own mask
        is there; and ``[K, 3]`` int64: the pixels that each won outside of its mask and inside, and
        its mask's.
    """
    count = len(maps)
    best = scores.new_full(size, -1.0)
    winner = torch.zeros(size, dtype=number_type(2 * count), device=maps.device)
    areas = torch.zeros(count, 3, dtype=torch.int64, device=maps.device)
    for queries, columns, logits in resized_in_tiles(maps, size, canvas=input_size):
        probability = logits.sigmoid_()  # of this call alone
        own = probability >= mask_threshold
        areas[queries, 2] += pixel_counts(own)
        # On CPUs max is several times as fast as argmax.
        found = probability.mul_(scores[queries, None, None]).max(dim=0)
        better = found.values > best[:, columns]
        visible = own.gather(0, found.indices[None])[0]
        here = (2 * (found.indices + queries.start) + visible).to(winner.dtype)
        winner[:, columns] = torch.where(better, here, winner[:, columns])
        best[:, columns] = torch.maximum(best[:, columns], found.values)
    # Won outside of the mask and inside: both from one count.
    areas[:, :2] = torch.bincount(winner.flatten(), minlength=2 * count).view(count, 2)
    return winner, areas
