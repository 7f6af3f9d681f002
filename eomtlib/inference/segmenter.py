"""From an image to its segmentation: the one way that people, evaluation and timing take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.machine.precision import fastest_precision
from eomtlib.core.predictions import MaskLogits, Predictions
from eomtlib.core.words import PRECISIONS
from eomtlib.data.decoding.image_files import image_pixels
from eomtlib.inference.folding import fold
from eomtlib.inference.modes import in_mode
from eomtlib.inference.row_attention import autocast_inference
from eomtlib.inference.tasks import get_task
from eomtlib.models.parts.segmentation_model import SegmentationModel


class Segmenter:
    """Segments images with a model, by the fastest way that the device offers or as it is told.

    Only the final layer is predicted, and of panoptic and instance segmentation only the masks of
    the queries that are kept are multiplied out. Its steps are methods: ``views``, ``predict``,
    ``segment``.

    Args:
        model: a rung, trained.
        task: ``panoptic``, ``instance`` or ``semantic``.
        device: to run on.
        precision: ``float32``, ``bfloat16``, ``float16``; ``auto`` for the device's
            ``precision.fastest_precision``. With 16 bits, logits differ in the third digit.
        masked: whether attention is masked; by default as the model was trained to end up.
        folded: whether to run a copy with LayerScale folded into the weights, and these kept in
            the precision; the model stays as it is then. Else it is run itself, put into eval mode
            and moved to the device; the last digits of logits differ.
        mode: of ``words.TIMING_MODES``. ``compiled`` costs the first image a minute or more.
        batch_size: of the windows that an image is seen in for ``semantic``, how many the model is
            given at once. More can be faster on GPUs; a compiled model compiles for each number.
        **options: as the task's post-processing takes them: ``stuff_classes``, which ``panoptic``
            needs, and thresholds.

    Attributes:
        task, device, precision, masked, mode: as above, ``precision`` never ``auto``.
        model: that is run.
        input_size: height and width of its input.

    Raises:
        ConfigurationError: for an unknown task, precision, mode or option, one missing, or no
            batch.
    """

    def __init__(
        self,
        model: SegmentationModel,
        *,
        task: str = "panoptic",
        device: str = "cpu",
        precision: str = "auto",
        masked: bool | None = None,
        folded: bool = True,
        mode: str = "eager",
        batch_size: int = 1,
        **options: Any,
    ) -> None:
        check_choice("precision", precision, ("auto", *PRECISIONS))
        if batch_size < 1:
            raise ConfigurationError(f"batch_size={batch_size} must be at least 1.")
        self.task, self.device, self.masked, self.mode = task, device, masked, mode
        self.precision = fastest_precision(device) if precision == "auto" else precision
        self.input_size = model.encoder.image_size
        self._task = get_task(task)
        self._post_process = self._task.post_processing(self.input_size, options)
        self._batch_size = batch_size
        model = fold(model, precision=self.precision) if folded else model.eval()
        self.model = model.to(device)
        self._predict_final = in_mode(lambda x: model.predict_final(x, masked=masked), mode)

    @torch.inference_mode()
    def __call__(
        self, image: str | Path | Image.Image | np.ndarray | Tensor
    ) -> dict[str, Any] | Tensor:
        """Segments one image at its own size.

        Args:
            image: a file; a PIL image; ``[H, W, 3]`` uint8; or ``[3, H, W]`` uint8 as a tensor.
                RGB. A file is turned as its EXIF data say.

        Returns:
            What the task's post-processing gives for an image: ``segmentation`` and
            ``segments_info``, for ``panoptic`` a map ``[H, W]`` int32, for ``instance`` masks
            ``[K, H, W]`` bool; for ``semantic`` the map of classes alone, ``[H, W]`` int64.

        Raises:
            DataError: when a file cannot be read as an image.
            ConfigurationError: for an array of another shape or type.
        """
        pixels = _pixels(image)
        prediction = self.predict_all(self.views(pixels), batch_size=self._batch_size)
        return self.segment(prediction, [tuple(pixels.shape[1:])])[0]

    def views(self, pixels: Tensor) -> Tensor:
        """What the model sees of an image ``[3, H, W]`` uint8: ``[N, 3, *input_size]`` uint8.

        The image fitted into the input size, N = 1, or the windows of it (``semantic``).
        """
        fitted = self._task.transform(self.input_size).fit(pixels).to(self.device)
        return fitted.view(-1, *fitted.shape[-3:])

    def running(self, batch_size: int = 1) -> AbstractContextManager[None]:
        """The context that the model is run in, so many views at a time."""
        multiplied = self.model.encoder.products(self.device, self.precision, batch_size=batch_size)
        return autocast_inference(self.device, self.precision, multiplied=multiplied)

    def predict(self, views: Tensor) -> tuple[MaskLogits, Tensor]:
        """The final mask logits ``[B, Q, h, w]`` and class logits ``[B, Q, classes + 1]``, float32.

        In mode ``cuda-graph`` the next call overwrites the masks.

        Args:
            views: ``[B, 3, *input_size]``, on the device.
        """
        with self.running(len(views)):
            predicted = self._predict_final(views)
        # A copy: a CUDA graph writes into the same memory again.
        return predicted.masks[-1], predicted.class_logits[-1].to(torch.float32, copy=True)

    def predict_all(self, views: Tensor, *, batch_size: int = 1) -> tuple[MaskLogits, Tensor]:
        """``predict`` of more views than fit at once, at most ``batch_size`` at a time.

        Where one batch is not enough, masks come in every pixel: those of all queries take less
        memory than the features that they are made of.
        """
        if len(views) <= batch_size:
            return self.predict(views)
        found = map(self.predict, views.split(batch_size))
        masks, classes = zip(*((logits.dense(), own) for logits, own in found), strict=True)
        return MaskLogits(torch.cat(masks)), torch.cat(classes)

    def predict_layers(self, views: Tensor) -> Predictions:
        """What every supervised layer predicts, the final one last; in mode ``eager`` always.

        Masks in the attention apply as they do by default: always where the model was trained with
        them to the end, never where they were annealed away.
        """
        # No draw is below a probability then, so no mask of an annealed model applies.
        shape = (1, self.model.masking.num_blocks, self.model.num_queries)
        never = torch.ones(shape, device=views.device)
        with self.running(len(views)):
            return self.model(views, mask_draws=never)

    def segment(
        self, prediction: tuple[MaskLogits, Tensor], target_sizes: Sequence[tuple[int, int]]
    ) -> list[Any]:
        """The task's post-processing: an entry for each of the images whose views were predicted.

        Args:
            prediction: of all their views, in order, as ``predict`` gives it.
            target_sizes: height and width of each image, as it was before it was fitted.
        """
        return self._post_process(*prediction, target_sizes=target_sizes)

    @torch.inference_mode()
    def segment_views(self, views: Tensor, sizes: Sequence[tuple[int, int]]) -> Iterator[Any]:
        """What ``segment`` gives for each image, made one after the other, as little as holds it.

        The masks of instances are ``core.run_lengths.RunLengths``: in every pixel, those of one
        large photograph take gigabytes.

        Args:
            views: of all images, in order. The model is given as many at once as there are images,
                or ``batch_size`` if that is more.
            sizes: height and width of each image, as it was before it was fitted.

        Raises:
            ConfigurationError: when there are not as many views as images of these sizes have.
        """
        counts = [self._task.num_views(size, self.input_size) for size in sizes]
        if len(views) != sum(counts):
            raise ConfigurationError(
                f"there are {len(views)} views, but images of these sizes have {sum(counts)} for "
                f"task={self.task!r} at {list(self.input_size)}; give all views of all images."
            )
        views = views.to(self.device, non_blocking=True)
        masks, classes = self.predict_all(views, batch_size=max(self._batch_size, len(sizes)))
        first = 0
        for size, count in zip(sizes, counts, strict=True):
            own = slice(first, first + count)
            prediction = masks.of_images(own), classes[own]
            yield self._post_process(*prediction, target_sizes=[size], **self._task.sparing)[0]
            first += count


def _pixels(image: str | Path | Image.Image | np.ndarray | Tensor) -> Tensor:
    """``[3, H, W]`` uint8 on the CPU."""
    if isinstance(image, str | Path):
        image = image_pixels(image, upright=True)
    if isinstance(image, Image.Image):
        image = np.array(image.convert("RGB"))
    if isinstance(image, np.ndarray):
        # Copied where channels or columns run backwards, which PyTorch has no strides for.
        image = torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, 0)
    if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] != 3:
        raise ConfigurationError(
            f"image is {list(image.shape)} of {image.dtype}, seen as channels × height × width; it "
            "must have 3 channels of uint8, 0 to 255: an array [H, W, 3] or a tensor [3, H, W]."
        )
    return image.cpu()
