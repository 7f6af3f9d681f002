"""From an image to its segmentation, by the fastest way that the device offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eomtlib.core.errors import ConfigurationError, DataError, check_choice
from eomtlib.core.precision import fastest_precision
from eomtlib.core.predictions import MaskLogits
from eomtlib.core.words import PRECISIONS
from eomtlib.inference.folding import folded
from eomtlib.inference.predicting import predict_in_batches
from eomtlib.inference.row_attention import autocast_inference
from eomtlib.inference.tasks import get_task
from eomtlib.models.parts.segmentation_model import SegmentationModel


class Segmenter:
    """Segments images one by one, with a copy of a model made for nothing else.

    LayerScale is folded into the weights, only the final layer is predicted, and of panoptic and
    instance segmentation only the masks of the queries that are kept are multiplied out.

    Args:
        model: a rung, trained; left as it is.
        task: ``panoptic``, ``instance`` or ``semantic``.
        device: to run on.
        precision: ``float32``, ``bfloat16``, ``float16``; ``auto`` for the device's
            ``precision.fastest_precision``. With 16 bits, logits differ in the third digit.
        compile: whether the model is compiled, which costs the first image a minute or more.
        batch_size: of the windows that an image is seen in for ``semantic``, how many the model is
            given at once. More can be faster on GPUs; a compiled model compiles for each number.
        **options: as the task's post-processing takes them: ``stuff_classes``, which ``panoptic``
            needs, and thresholds.

    Raises:
        ConfigurationError: for an unknown task, precision or option, one missing, or no batch.
    """

    def __init__(
        self,
        model: SegmentationModel,
        *,
        task: str = "panoptic",
        device: str = "cpu",
        precision: str = "auto",
        compile: bool = False,
        batch_size: int = 1,
        **options: Any,
    ) -> None:
        check_choice("precision", precision, ("auto", *PRECISIONS))
        if batch_size < 1:
            raise ConfigurationError(f"batch_size={batch_size} must be at least 1.")
        self.input_size = model.encoder.image_size
        chosen = get_task(task)
        self._post_process = chosen.post_processing(self.input_size, options)
        self._fit = chosen.transform(self.input_size).fit
        self._batch_size = batch_size
        self.device = device
        self.precision = fastest_precision(device) if precision == "auto" else precision
        self.model = folded(model, precision=self.precision).to(device)
        self._predict_final = self.model.predict_final
        if compile:
            self._predict_final = torch.compile(self._predict_final, fullgraph=True)

    @torch.inference_mode()
    def __call__(
        self, image: str | Path | Image.Image | np.ndarray | Tensor
    ) -> dict[str, Any] | Tensor:
        """Segments one image at its own size.

        Args:
            image: a file; a PIL image; ``[H, W, 3]`` uint8; or ``[3, H, W]`` uint8 as a tensor.
                RGB. A file's pixels are taken as they are stored, without its EXIF rotation.

        Returns:
            What the task's post-processing gives for an image: ``segmentation`` and
            ``segments_info``, for ``panoptic`` a map ``[H, W]`` int32, for ``instance`` masks
            ``[K, H, W]`` bool; for ``semantic`` the map of classes alone, ``[H, W]`` int64.

        Raises:
            DataError: when a file cannot be read as an image.
            ConfigurationError: for an array of another shape or type.
        """
        pixels = _pixels(image)
        fitted = self._fit(pixels).to(self.device)
        # An image, or its windows.
        images = fitted.view(-1, *fitted.shape[-3:])
        predictions = predict_in_batches(self.predict, images, batch_size=self._batch_size)
        return self._post_process(*predictions, target_sizes=[tuple(pixels.shape[1:])])[0]

    def predict(self, images: Tensor) -> tuple[MaskLogits, Tensor]:
        """The final mask logits and class logits of ``[B, 3, H, W]`` images of the input size."""
        with autocast_inference(self.device, self.precision):
            predicted = self._predict_final(images)
        return predicted.masks[-1], predicted.class_logits[-1]


def _pixels(image: str | Path | Image.Image | np.ndarray | Tensor) -> Tensor:
    """``[3, H, W]`` uint8 on the CPU."""
    if isinstance(image, Tensor):
        return _checked(image.cpu())
    if isinstance(image, str | Path):
        try:
            with Image.open(image) as picture:
                image = picture.convert("RGB")
        except Exception as error:  # Pillow's decoders raise many kinds on damaged files.
            raise DataError(f"{image}: cannot be read as an image ({error}).") from error
    if isinstance(image, Image.Image):
        image = np.array(image.convert("RGB"))
    if image.ndim != 3 or image.dtype != np.uint8:
        raise ConfigurationError(
            f"image is {list(image.shape)} of {image.dtype}; an array must be [H, W, 3] uint8."
        )
    # Copied where channels or columns run backwards, which PyTorch has no strides for.
    return _checked(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1))


def _checked(pixels: Tensor) -> Tensor:
    if pixels.dtype != torch.uint8 or pixels.dim() != 3 or pixels.shape[0] != 3:
        raise ConfigurationError(
            f"image is {list(pixels.shape)} of {pixels.dtype}, seen as channels × height × width; "
            "it must have 3 channels of uint8, 0 to 255."
        )
    return pixels
