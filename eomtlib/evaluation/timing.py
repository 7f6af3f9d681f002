"""How many images a second a model takes on this machine, in two senses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from eomtlib.core.predictions import MaskLogits
from eomtlib.evaluation.costs import Timing, attention_kernel, measure_fps
from eomtlib.inference.cuda_graph import GraphedPredict
from eomtlib.inference.folding import folded
from eomtlib.inference.predicting import predict_in_batches
from eomtlib.inference.row_attention import autocast_inference
from eomtlib.models.parts.deformable_attention import set_sampler

TIMING_METHOD = 2
"""What ``time_model`` times, as ``TimingRecord.method`` numbers it."""


@dataclass(frozen=True)
class ModelTiming:
    """What ``time_model`` measures.

    Attributes:
        alone: the model, one fixed input on the device.
        end_to_end: from an image to its segmentation.
        attention_kernel: as ``evaluation.cost.attention_kernel`` names it.
    """

    alone: Timing
    end_to_end: Timing
    attention_kernel: str


def time_model(
    model: nn.Module,
    image: Tensor,
    *,
    fit: Callable[[Tensor], Tensor],
    post_process: Callable[..., object],
    device: str,
    precision: str,
    mode: str,
    masked: bool,
    sampler: str = "pytorch",
    max_seconds: float,
) -> ModelTiming:
    """Times a model, batch 1, on one fixed image (the papers average over the val set).

    Args:
        model: for images of ``image_size``; left as it is, and timed as inference runs it:
            LayerScale folded, the final layer only.
        image: ``[3, H, W]`` uint8, at its original size.
        fit: makes of the image what the model sees, ``[3, h, w]``, or windows ``[N, 3, h, w]``.
        post_process: ``(prediction, target_sizes) → segmentations``.
        device: that is timed.
        precision: ``float32``, or the 16-bit type of autocast.
        mode: one of ``TIMING_MODES``.
        masked: whether attention is masked.
        sampler: of deformable attention, as ``set_sampler`` takes it.
        max_seconds: for each of the two timings.
    """
    model = folded(model, precision=precision).to(device)
    set_sampler(model, sampler)
    original = (image.shape[-2], image.shape[-1])

    def fitted() -> Tensor:
        seen = fit(image)
        return seen.view(-1, *seen.shape[-3:]).to(device)

    images = fitted()[:1]
    predict = _in_mode(lambda x: model.predict(x, masked=masked), mode)
    predict_final = _in_mode(lambda x: model.predict_final(x, masked=masked), mode)

    def predict_kept(batch: Tensor) -> tuple[MaskLogits, Tensor]:
        predicted = predict_final(batch)
        return predicted.masks[-1], _keep_some(predicted.class_logits[-1])

    def end_to_end() -> object:
        predictions = predict_in_batches(predict_kept, fitted(), batch_size=1)
        return post_process(predictions, [original])

    options = {"device": device, "mode": mode, "max_seconds": max_seconds}
    with autocast_inference(device, precision):
        alone = measure_fps(lambda: predict(images), **options)
        whole = measure_fps(end_to_end, **options)
        kernel = attention_kernel(lambda: model.predict(images, masked=masked))
    return ModelTiming(alone, whole, kernel)


def fastest(records: Sequence[Any]) -> Any:
    """Of the timings of one architecture in several ways, the one of most images a second.

    A rung whose sampler is a choice is shown with the faster one, as whoever uses it would choose.
    """
    return max(records, key=lambda record: record.fps_model)


def _keep_some(class_logits: Tensor) -> Tensor:
    """The same logits with every tenth query sure of a class.

    Post-processing costs what it keeps, and a model that was barely trained keeps nothing: so every
    architecture is timed with as many queries as a COCO image has segments, 20 of 200.
    """
    sure = class_logits.clone()
    sure[:, ::10, 0] = 30.0 + class_logits.amax()
    return sure


def _in_mode(predict: Callable[[Tensor], object], mode: str) -> Callable[[Tensor], object]:
    if mode == "eager":
        return predict
    if mode == "cuda-graph":
        return GraphedPredict(predict)
    return torch.compile(
        predict, fullgraph=True, mode="max-autotune" if mode == "max-autotune" else None
    )
