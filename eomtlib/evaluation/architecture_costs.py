"""What an architecture of the ladder costs, whatever its weights are."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from eomtlib.evaluation.costs import count_gmacs, count_parameters
from eomtlib.models.ladder import build_model


@cache
def count_costs(
    rung: str, *, masked: bool | None = None, **architecture: Any
) -> tuple[float, float]:
    """Millions of parameters, and GMACs of one image's inference; counted once.

    Args:
        rung: of the ladder.
        masked: whether attention is masked; by default as the model was trained to end up.
        architecture: further arguments of ``build_model``, without ``weights``.
    """
    with torch.device("meta"):
        model = build_model(rung, **architecture, load_weights=False)
    gmacs = count_gmacs(
        lambda: model,
        architecture["image_size"],
        call=lambda model, images: model.predict(images, masked=masked),
    )
    return count_parameters(model) / 1e6, gmacs
