"""What a pretraining has learned, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eomtlib.core.randomness import keyed_generator
from eomtlib.data.feed.transforms import EvalTransform
from eomtlib.training.pretraining.masked_autoencoder import reconstruct
from eomtlib.training.pretraining.outcome import load_autoencoder


def reconstructions(
    weights: str | Path, images: Sequence[Tensor], *, seed: int = 0
) -> dict[str, list[np.ndarray]]:
    """Images, the share of their patches that a masked autoencoder sees, and what it makes of it.

    Args:
        weights: what ``pretrain`` returned; its decoder lies beside it.
        images: each ``[3, H, W]`` uint8 of any size; they are made to fit the autoencoder's.
        seed: another one hides other patches.

    Returns:
        A title for each of the three → a picture ``[h, w, 3]`` uint8 for each image.

    Raises:
        CheckpointError: when a file is missing or does not fit.
    """
    model = load_autoencoder(weights)
    rows, columns = model.encoder.grid_size
    side = model.encoder.patch_size
    fit = EvalTransform((rows * side, columns * side)).fit
    batch = torch.stack([fit(image) for image in images])
    noise = torch.rand(
        len(batch), rows * columns, generator=keyed_generator(seed, "reconstruction")
    )
    shown, made = reconstruct(model, batch, noise)
    hidden = f"{1 - model.num_visible / model.num_patches:.0%} hidden"
    pictures = {"image": batch.to(torch.uint8), hidden: shown, "reconstructed": made}
    return {title: list(stack.permute(0, 2, 3, 1).numpy()) for title, stack in pictures.items()}
