"""From an image to its panoptic segmentation, by the fastest way that the device offers."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eomtlib.data.transforms import EvalTransform
from eomtlib.errors import ConfigurationError, DataError, check_choice
from eomtlib.evaluation.postprocessing import post_process_panoptic_segmentation
from eomtlib.folding import folded
from eomtlib.models.segmentation_model import SegmentationModel
from eomtlib.precision import PRECISIONS, autocast, fastest_precision


class PanopticSegmenter:
    """Segments images one by one, with a copy of a model made for nothing else.

    LayerScale is folded into the weights, only the final layer is predicted, and only the masks of
    the queries that are kept are multiplied out.

    Args:
        model: a rung, trained; left as it is.
        stuff_classes: indices of the classes whose segments are merged.
        device: to run on.
        precision: ``float32``, ``bfloat16``, ``float16``; ``auto`` for the device's
            ``precision.fastest_precision``. With 16 bits, logits differ in the third digit.
        compile: whether the model is compiled, which costs the first image a minute or more.
        threshold, mask_threshold, overlap_mask_area_threshold: as
            ``post_process_panoptic_segmentation`` takes them.

    Raises:
        ConfigurationError: for an unknown precision.
    """

    def __init__(
        self,
        model: SegmentationModel,
        *,
        stuff_classes: Collection[int],
        device: str = "cpu",
        precision: str = "auto",
        compile: bool = False,
        threshold: float = 0.8,
        mask_threshold: float = 0.5,
        overlap_mask_area_threshold: float = 0.8,
    ) -> None:
        check_choice("precision", precision, ("auto", *PRECISIONS))
        self.device = device
        self.precision = fastest_precision(device) if precision == "auto" else precision
        self.model = folded(model, precision=self.precision).to(device)
        self.input_size = model.encoder.image_size
        self._predict = self.model.predict_final
        if compile:
            self._predict = torch.compile(self._predict, fullgraph=True)
        self._options = {
            "stuff_classes": frozenset(stuff_classes),
            "threshold": threshold,
            "mask_threshold": mask_threshold,
            "overlap_mask_area_threshold": overlap_mask_area_threshold,
        }

    @torch.inference_mode()
    def __call__(self, image: str | Path | Image.Image | np.ndarray | Tensor) -> dict[str, Any]:
        """Segments one image at its own size.

        Args:
            image: a file; a PIL image; ``[H, W, 3]`` uint8; or ``[3, H, W]`` uint8 as a tensor.
                RGB. A file's pixels are taken as they are stored, without its EXIF rotation.

        Returns:
            ``segmentation`` ``[H, W]`` int32 and ``segments_info``, as
            ``post_process_panoptic_segmentation`` describes them.

        Raises:
            DataError: when a file cannot be read as an image.
            ConfigurationError: for an array of another shape or type.
        """
        pixels = _pixels(image)
        fitted = EvalTransform(self.input_size).fit(pixels)[None].to(self.device)
        with autocast(self.device, self.precision):
            predicted = self._predict(fitted)
        return post_process_panoptic_segmentation(
            predicted.masks[-1],
            predicted.class_logits[-1],
            target_sizes=[(pixels.shape[1], pixels.shape[2])],
            input_size=self.input_size,
            **self._options,
        )[0]


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
