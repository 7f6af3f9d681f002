"""Instances: the surest pairs of query and class, each with its own mask; masks may overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from eomtlib.core.predictions import MaskLogits
from eomtlib.inference.postprocessing.resizing import (
    checked_masks,
    in_parts,
    pixel_counts,
    resize_to_image,
)


def post_process_instance_segmentation(
    mask_logits: Tensor | MaskLogits,
    class_logits: Tensor,
    *,
    target_sizes: Sequence[tuple[int, int]],
    input_size: tuple[int, int],
    threshold: float = 0.0,
    top_k: int = 100,
) -> list[dict[str, Any]]:
    """Finds the instances in each image.

    Of all pairs of query and class but "no object", the ``top_k`` with the highest class scores are
    kept. A pair's score is its class score times the mean probability inside its mask, which is
    where its logits are above 0 (EoMT's evaluation, which is Mask2Former's, Cheng et al., CVPR
    2022). One query may appear with several classes.

    Args:
        mask_logits: ``[B, Q, h, w]``, such as ``model.predict(images)[0]``; or the factors of it,
            ``model.predict_final(images).masks[0]``, of which only what is kept is multiplied.
        class_logits: ``[B, Q, classes + 1]``, "no object" last.
        target_sizes: height and width of each image, as it was before it was fitted.
        input_size: height and width of the canvas that the model saw, with the image scaled to
            ``structures.fitted_size`` at its top left and padding elsewhere.
        threshold: pairs stay that score higher, in [0, 1]; at 0 all whose mask is not empty.
        top_k: pairs at most; all of them where there are fewer.

    Returns:
        For each image ``segmentation``, ``[K, H, W]`` bool on the device of the logits, a mask for
        each of ``segments_info``, which is a list of ``{"id", "label_id", "score"}``, best first,
        with ids 0, 1, 2, …

    Raises:
        ConfigurationError: when numbers of images or queries do not fit together.
    """
    masks = checked_masks(mask_logits, class_logits, expected=len(target_sizes))
    probabilities = class_logits.float().softmax(dim=-1)[..., :-1]
    num_classes = probabilities.shape[-1]
    best = probabilities.flatten(1)
    best = best.topk(min(top_k, best.shape[1]), dim=1)
    # The one transfer for the batch.
    pairs = best.indices.tolist()
    results = []
    for index, own in enumerate(pairs):
        queries = list(dict.fromkeys(pair // num_classes for pair in own))
        place = {query: row for row, query in enumerate(queries)}
        results.append(
            _instances(
                # float32, as half precision would move the borders of masks.
                masks.of_queries(index, queries),
                class_scores=best.values[index],
                rows=[place[pair // num_classes] for pair in own],
                labels=[pair % num_classes for pair in own],
                target_size=tuple(target_sizes[index]),
                input_size=input_size,
                threshold=threshold,
            )
        )
    return results


def _instances(
    mask_logits: Tensor,
    *,
    class_scores: Tensor,
    rows: list[int],
    labels: list[int],
    target_size: tuple[int, int],
    input_size: tuple[int, int],
    threshold: float,
) -> dict[str, Any]:
    """The instances of one image, from the masks ``[K, h, w]`` of the queries that have a pair.

    Of each pair, ``rows`` says which of the K is its mask.
    """
    claims, means = [], []
    for part in in_parts(mask_logits, target_size):
        logits = resize_to_image(part, target_size=target_size, input_size=input_size)
        own = logits > 0
        inside = (logits.sigmoid() * own).flatten(1).sum(dim=1)
        claims.append(own)
        means.append(inside / pixel_counts(own).clamp(min=1))
    claimed = torch.cat(claims)
    # The one transfer for the image.
    scores = (class_scores * torch.cat(means)[rows]).tolist()
    kept = [pair for pair in range(len(scores)) if scores[pair] > threshold]
    kept.sort(key=lambda pair: -scores[pair])
    chosen = torch.tensor([rows[pair] for pair in kept], dtype=torch.int64, device=claimed.device)
    segments_info = [
        {"id": position, "label_id": labels[pair], "score": scores[pair]}
        for position, pair in enumerate(kept)
    ]
    return {"segmentation": claimed[chosen], "segments_info": segments_info}
