"""What evaluation asks of a model, and how it is asked about more images than fit at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.predictions import MaskLogits

Predict = Callable[[Tensor], tuple[Tensor | MaskLogits, Tensor]]
"""Images ``[B, 3, H, W]`` uint8 → mask logits of ``[B, Q, h, w]``, and class logits
``[B, Q, classes + 1]``, "no object" last."""


def predict_in_batches(
    predict: Predict, images: Tensor, *, batch_size: int
) -> tuple[Tensor | MaskLogits, Tensor]:
    """The predictions of all images, such as the windows of a few, ``batch_size`` at a time.

    Args:
        predict: of a model.
        images: ``[N, 3, H, W]`` uint8.
        batch_size: at most so many are given to the model at once.

    Returns:
        As ``predict`` returns it where one batch is enough; else in every pixel, for the masks of
        all queries take less memory than the features that they are made of.
    """
    if len(images) <= batch_size:
        return predict(images)
    masks, classes = [], []
    for part in images.split(batch_size):
        mask_logits, class_logits = predict(part)
        masks.append(mask_logits if isinstance(mask_logits, Tensor) else mask_logits.dense())
        classes.append(class_logits)
    return torch.cat(masks), torch.cat(classes)


def split_predictions(
    masks: Tensor | MaskLogits, class_logits: Tensor, counts: Sequence[int]
) -> Iterator[tuple[MaskLogits, Tensor]]:
    """The predictions of each image, where a model saw ``counts`` views of it.

    Raises:
        ConfigurationError: when there are not as many predictions as views.
    """
    masks = MaskLogits(masks) if isinstance(masks, Tensor) else masks
    if not masks.shape[0] == len(class_logits) == sum(counts):
        raise ConfigurationError(
            f"there are mask_logits of {masks.shape[0]} and class_logits of {len(class_logits)}, "
            f"but the model saw {sum(counts)} images; give all for the same images."
        )
    first = 0
    for count in counts:
        own = slice(first, first + count)
        yield masks.of_images(own), class_logits[own]
        first += count
