"""Instances: the surest pairs of query and class, each with its own mask; masks may overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from eomtlib.core.predictions import MaskLogits
from eomtlib.core.run_lengths import RunLengths
from eomtlib.inference.postprocessing.resizing import (
    checked_masks,
    maps_at_once,
    pixel_counts,
    resized_in_tiles,
)


def post_process_instance_segmentation(
    mask_logits: Tensor | MaskLogits,
    class_logits: Tensor,
    *,
    target_sizes: Sequence[tuple[int, int]],
    input_size: tuple[int, int],
    threshold: float = 0.0,
    top_k: int = 100,
    run_lengths: bool = False,
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
        run_lengths: whether masks come as COCO's run lengths: those of a large photograph take
            some hundred kilobytes, in every pixel they take gigabytes.

    Returns:
        For each image ``segmentation``, ``[K, H, W]`` bool on the device of the logits, or
        ``core.run_lengths.RunLengths``, a mask for each of ``segments_info``, which is a list of
        ``{"id", "label_id", "score"}``, best first, with ids 0, 1, 2, …

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
        size = tuple(size)
        keep = (lambda own: RunLengths.of(own).counts) if run_lengths else Tensor.unbind
        claimed, certainty = _claims(logits, size, canvas=input_size, keep=keep)
        # The one transfer for the image.
        scores = (best.values[image] * certainty[rows]).tolist()
        kept = [index for index in range(len(own)) if scores[index] > threshold]
        kept.sort(key=lambda index: -scores[index])
        segments_info = [
            {"id": position, "label_id": own[index] % num_classes, "score": scores[index]}
            for position, index in enumerate(kept)
        ]
        chosen = [claimed[rows[index]] for index in kept]
        if run_lengths:
            segmentation = RunLengths(size, chosen)
        elif chosen:
            segmentation = torch.stack(chosen)
        else:
            segmentation = torch.zeros(0, *size, dtype=torch.bool, device=logits.device)
        results.append({"segmentation": segmentation, "segments_info": segments_info})
    return results


def _claims(
    maps: Tensor,
    size: tuple[int, int],
    *,
    canvas: tuple[int, int],
    keep: Callable[[Tensor], Sequence[Any]],
) -> tuple[list[Any], Tensor]:
    """Of ``[K, h, w]`` logits: where they are above 0 at the image's size, and how surely.

    Returns:
        What ``keep`` makes of some masks ``[k, *size]`` bool, of all; and ``[K]``, the mean
        probability inside of each mask.
    """
    claims, means = [], []
    for part in maps.split(maps_at_once(maps, size)):
        own = torch.empty(len(part), *size, dtype=torch.bool, device=part.device)
        inside = torch.empty_like(own, dtype=torch.float32)
        for masks, columns, logits in resized_in_tiles(part, size, canvas=canvas):
            here = own[masks, :, columns]
            torch.gt(logits, 0, out=here)
            torch.mul(logits.sigmoid_(), here, out=inside[masks, :, columns])
        means.append(inside.flatten(1).sum(dim=1) / pixel_counts(own).clamp(min=1))
        claims.extend(keep(own))
    return claims, torch.cat(means)
