"""Our models against outputs of the authors' released ones, through files in their layouts.

The fixtures hold, for EoMT and PMT on DINOv2 and DINOv3, what the authors' programs computed at
random weights: every layer's predictions with masks, and the final one without. A weight's values
follow from its name, so the files that held them can be written again.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from eomtlib.models.checkpoints import load_model
from eomtlib.report.fidelity.difference import Difference, compare

RELEASED = ("eomt-dinov2", "eomt-dinov3", "pmt-dinov2", "pmt-dinov3")
"""The models that there are fixtures of."""

TOLERANCE = 1e-3
"""Some resized mask logits of the fixtures lie only 2e-4 from the masking threshold."""

_FOLDER = Path(__file__).parent / "fixtures"
_NORMS_AT_REST = {"running_mean": 0.0, "running_var": 1.0, "num_batches_tracked": 0}


@dataclass(frozen=True)
class ReleasedFiles:
    """Files in the layout in which the authors publish a model.

    Attributes:
        checkpoint: ``pytorch_model.bin``.
        encoder: the pretrained encoder's weights, where the checkpoint does not hold them whole.
    """

    checkpoint: Path
    encoder: Path | None


def fixture(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the arrays of one of ``RELEASED``."""
    description = json.loads((_FOLDER / f"{name}.json").read_text())
    with np.load(_FOLDER / f"{name}.npz") as arrays:
        return description, {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def write_released(name: str, folder: Path) -> ReleasedFiles:
    """Writes a fixture's model as its authors publish such models.

    EoMT on DINOv2 as a whole, on DINOv3 as differences to an encoder, PMT as the decoder alone.

    Args:
        name: one of ``RELEASED``.
        folder: an existing one.
    """
    description, _ = fixture(name)
    state = {key: weight_values(key, description["shapes"][key]) for key in description["filled"]}
    encoder = {key: state[key] for key in state if key.startswith("encoder.backbone.")}
    is_pmt, is_dinov3 = name.startswith("pmt"), name.endswith("dinov3")
    for key in description["not_filled"]:
        at_rest = _NORMS_AT_REST.get(key.rpartition(".")[2], 0.0)
        state[key] = torch.full(description["shapes"][key], at_rest)
    encoder_path = None
    if is_pmt:
        state = {key: value for key, value in state.items() if key not in encoder}
    elif is_dinov3:
        generator = torch.Generator().manual_seed(0)
        base = {key: torch.randn(v.shape, generator=generator) for key, v in encoder.items()}
        state |= {key: value - base[key] for key, value in encoder.items()}
        encoder = base
    if is_pmt or is_dinov3:
        encoder_path = folder / "encoder.safetensors"
        renamed = {_encoder_name(k, is_dinov3=is_dinov3): v for k, v in encoder.items()}
        save_file(renamed, encoder_path)
    checkpoint = folder / "pytorch_model.bin"
    torch.save({f"network.{key}": value for key, value in state.items()}, checkpoint)
    return ReleasedFiles(checkpoint, encoder_path)


def released_differences(name: str, folder: Path) -> list[Difference]:
    """Writes the files, loads them, and compares the outputs.

    Args:
        name: one of ``RELEASED``.
        folder: an existing one, for the files.
    """
    _, expected = fixture(name)
    files = write_released(name, folder)
    model, _ = load_model(
        files.checkpoint,
        image_size=(96, 96),
        pretraining=name.rpartition("-")[2],
        weights=files.encoder,
    )
    images = expected["images"].float()
    with torch.no_grad():
        masked = model.predict(images, masked=True)
        unmasked = model.predict(images, masked=False)
        # Every layer is predicted where each mask applies: at the start of annealing.
        model.masking.probabilities.fill_(1.0)
        every = model(images)

    def published(kind: str, layer: str = "") -> list[Tensor]:
        return [expected[f"{kind}/{what}_logits{layer}"] for what in ("mask", "class")]

    ours = [*zip(every.mask_logits, every.class_logits, strict=True)]
    theirs = [published("masked", f"_{index}") for index in range(len(every))]
    pairs = {
        "every layer, masked": (chain(*ours), chain(*theirs)),
        "the last, masked": (masked, theirs[-1]),
        "the last, unmasked": (unmasked, published("unmasked")),
    }
    against = {"against": "the authors' program", "tolerance": TOLERANCE}
    return [
        compare(f"{name}: {what}", zip(*sides, strict=True), **against)
        for what, sides in pairs.items()
    ]


def weight_values(key: str, shape: list[int]) -> Tensor:
    """The fixtures' value of the weight of this name."""
    values = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    values = values.astype("float32")
    if len(shape) > 1:
        return torch.from_numpy((values / np.sqrt(np.prod(shape[1:]))).astype("float32"))
    is_scale = ("norm" in key and key.endswith("weight")) or "scalers" in key
    base = 0.3 if key.endswith(("gamma", "lambda1")) else 1.0 if is_scale else 0.0
    return torch.from_numpy((base + 0.1 * values).astype("float32"))


def _encoder_name(key: str, *, is_dinov3: bool) -> str:
    """An encoder's entry as its own publishers call it (DINOv3) or as timm does (DINOv2)."""
    name = key.removeprefix("encoder.backbone.")
    if is_dinov3:
        name = name.replace("patch_embed.", "embeddings.").replace("blocks.", "layer.")
    return name
