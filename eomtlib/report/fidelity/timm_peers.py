"""Our encoders, run block by block, against timm's own forward pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from eomtlib.models.encoder_names import TIMM_NAMES
from eomtlib.models.encoders import build_encoder
from eomtlib.report.fidelity.difference import Difference, compare
from eomtlib.report.fidelity.inputs import normalized, random_images, spread_weights

TOLERANCE = 1e-4


@torch.no_grad()
def encoder_difference(pretraining: str, size: str) -> Difference:
    """All tokens after the final norm, on non-square images, against ``forward_features``."""
    encoder = build_encoder(size=size, pretraining=pretraining, image_size=(64, 96)).eval()
    spread_weights(encoder)
    images = random_images(64, 96)
    backbone = encoder.backbone
    expected = backbone.forward_features(normalized(images, backbone.pretrained_cfg))
    if pretraining == "eva02":
        expected = backbone.fc_norm(expected)
    pairs = [(encoder(images), expected)]
    what = f"encoder {pretraining}, {size}"
    return compare(what, pairs, against="timm", tolerance=TOLERANCE)


def encoder_differences(sizes: Sequence[str]) -> list[Difference]:
    """Every pretraining at these sizes, where it exists."""
    return [
        encoder_difference(pretraining, size)
        for size in sizes
        for pretraining, known in TIMM_NAMES.items()
        if size in known
    ]
