"""Instances: the surest pairs of query and class, each with its own mask; masks may overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from eomtlib.core.predictions import MaskLogits
from eomtlib.inference.postprocessing.resizing import checked_masks, pixel_counts, resized_in_parts


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
    for image, (own, size) in enumerate(zip(pairs, target_sizes, strict=True)):
        queries = list(dict.fromkeys(pair // num_classes for pair in own))
        place = {query: row for row, query in enumerate(queries)}
        rows = [place[pair // num_classes] for pair in own]
        # float32, as half precision would move the borders of masks.
        logits = masks.of_queries(image, queries)
        parts = resized_in_parts(logits, target_size=tuple(size), input_size=input_size)
        claimed, certainty = _claims(parts)
        # The one transfer for the image.
        scores = (best.values[image] * certainty[rows]).tolist()
        kept = [index for index in range(len(own)) if scores[index] > threshold]
        kept.sort(key=lambda index: -scores[index])
        segments_info = [
            {"id": position, "label_id": own[index] % num_classes, "score": scores[index]}
            for position, index in enumerate(kept)
        ]
        chosen = claimed[[rows[index] for index in kept]]
        results.append({"segmentation": chosen, "segments_info": segments_info})
    return results


def _claims(parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Of mask logits in parts of ``[k, H, W]``, K in all: where they are above 0, and how surely.

    Returns:
        ``[K, H, W]`` bool, and ``[K]``: the mean probability inside of each mask.
    """
    claims, means = [], []
    for logits in parts:
        own = logits > 0
        inside = (logits.sigmoid() * own).flatten(1).sum(dim=1)
        claims.append(own)
        means.append(inside / pixel_counts(own).clamp(min=1))
    return torch.cat(claims), torch.cat(means)
