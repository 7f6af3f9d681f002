"""Predictions and the plain way to an image's size, for the three tasks' tests."""

import torch
from torch.nn import functional as F

from eomtlib.core.structures import fitted_size

NUM_CLASSES = 6


def random_predictions(seed, *, batch, size, queries=30):
    """Smooth masks, and classes of which about half are sure."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, queries, 5, 5, generator=generator) * 6 - 4
    masks = F.interpolate(coarse, size=size, mode="bicubic")
    classes = torch.randn(batch, queries, NUM_CLASSES + 1, generator=generator) * 5
    return masks, classes


def at_image_size(masks, *, target_size, input_size):
    """All masks ``[Q, h, w]`` of an image, through the canvas to its own size."""
    fitted = fitted_size(target_size, input_size)
    canvas = F.interpolate(masks[None], size=input_size, mode="bilinear")
    return F.interpolate(canvas[..., : fitted[0], : fitted[1]], size=target_size, mode="bilinear")[
        0
    ]
