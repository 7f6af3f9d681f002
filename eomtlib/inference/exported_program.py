"""A model as one file that PyTorch runs without this library.

It holds the program that ``torch.export`` traces, and its weights.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.files.atomic_files import write_atomically
from eomtlib.core.machine.precision import autocast
from eomtlib.core.words import PRECISIONS
from eomtlib.inference.folding import fold
from eomtlib.models.parts.segmentation_model import SegmentationModel

ABOUT_FILE = "eomtlib.json"
"""What the program is, inside of its file."""


class _Program(nn.Module):
    """``[B, 3, H, W]`` uint8 → final mask logits ``[B, Q, h, w]`` and class logits, float32."""

    def __init__(self, model: SegmentationModel, *, device: str, precision: str) -> None:
        super().__init__()
        self.model = fold(model, precision=precision).to(device)
        self.device, self.precision = device, precision

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(self.device, self.precision):
            mask_logits, class_logits = self.model.predict(images)
        return mask_logits.float(), class_logits.float()


def export_program(
    model: SegmentationModel,
    path: Path,
    *,
    batch_size: int = 1,
    device: str = "cpu",
    precision: str = "float32",
    about: Mapping[str, Any] | None = None,
) -> None:
    """Writes a program that takes ``[batch_size, 3, H, W]`` uint8 images of the model's input size.

    It returns the final mask logits ``[B, Q, h, w]`` and class logits ``[B, Q, classes + 1]``,
    "no object" last, both float32: ``torch.export.load(path).module()(images)``.

    Args:
        model: any rung, trained; left as it is.
        path: of the file, which by custom ends in ``.pt2``.
        batch_size: images at a time; part of the program, as the image size is.
        device: that it will run on.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        about: put into the file as JSON, under the name ``ABOUT_FILE``.

    Raises:
        ConfigurationError: for an unknown precision, or no batch.
    """
    check_choice("precision", precision, PRECISIONS)
    if batch_size < 1:
        raise ConfigurationError(f"batch_size={batch_size} must be at least 1.")
    module = _Program(model, device=device, precision=precision)
    height, width = model.encoder.image_size
    images = torch.zeros(batch_size, 3, height, width, dtype=torch.uint8, device=device)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about its own parts
        program = torch.export.export(module, (images,))
        extra = {ABOUT_FILE: json.dumps(dict(about or {}), ensure_ascii=False)}
        write_atomically(path, lambda file: torch.export.save(program, file, extra_files=extra))
