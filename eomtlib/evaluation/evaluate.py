"""Runs a model over a data set and measures it. A model is a callable; how it was made is open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from tqdm.auto import tqdm

from eomtlib.evaluation.metric import Result
from eomtlib.evaluation.panoptic_quality import PanopticQuality
from eomtlib.evaluation.postprocessing import post_process_panoptic_segmentation
from eomtlib.predictions import MaskLogits
from eomtlib.structures import Batch, ClassInfo, stuff_classes


@torch.inference_mode()
def evaluate_panoptic(
    predict: Callable[[Tensor], tuple[Tensor | MaskLogits, Tensor]],
    loader: Iterable[Batch],
    *,
    classes: Sequence[ClassInfo],
    input_size: tuple[int, int],
    device: torch.device | str = "cpu",
    progress: bool = True,
    threshold: float = 0.8,
    mask_threshold: float = 0.5,
    overlap_mask_area_threshold: float = 0.8,
) -> Result:
    """Panoptic quality at the images' original sizes.

    Args:
        predict: images ``[B, 3, H, W]`` uint8 on ``device`` → mask logits of ``[B, Q, h, w]`` and
            class logits ``[B, Q, classes + 1]``; in eval mode, in the precision that it is to have.
        loader: batches whose images were fitted into a canvas and whose segments were not.
        classes: of the data set.
        input_size: height and width of that canvas.
        device: to run on.
        progress: whether a progress bar is shown.
        threshold: of scores, as ``post_process_panoptic_segmentation`` takes it.
        mask_threshold: of mask probabilities, likewise.
        overlap_mask_area_threshold: of what is left of a mask, likewise.

    Raises:
        ConfigurationError: when predictions, targets and classes do not fit together.
    """
    quality = PanopticQuality(classes)
    stuff = stuff_classes(classes)
    for batch in tqdm(loader, desc="evaluating", unit="batch", disable=not progress):
        mask_logits, class_logits = predict(batch.images.to(device, non_blocking=True))
        segmented = post_process_panoptic_segmentation(
            mask_logits,
            class_logits,
            target_sizes=batch.original_sizes,
            input_size=input_size,
            stuff_classes=stuff,
            threshold=threshold,
            mask_threshold=mask_threshold,
            overlap_mask_area_threshold=overlap_mask_area_threshold,
        )
        for prediction, target in zip(segmented, batch.segments, strict=True):
            quality.update(prediction, target)
    return quality.compute()
