"""PMT taken apart: which runs tell what freezing, taps and lateral connections do, and sharing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import pandas as pd
import torch

from eomtlib.data.feed.transforms import EvalTransform
from eomtlib.evaluation.costs import count_parameters
from eomtlib.inference.folding import folded
from eomtlib.inference.row_attention import autocast_inference
from eomtlib.models.ladder import own_choices
from eomtlib.models.pmt import PMT
from eomtlib.models.shared_encoder import SharedEncoder
from eomtlib.study.parameters import parse_seeds, parse_taps
from eomtlib.study.study import Study

_PAIRS = 7


def frozen_points(
    size: str, *, seeds: str | int | Sequence[int], taps: str | Sequence[int] = ""
) -> list[dict[str, Any]]:
    """EoMT, PMT, and PMT with one thing changed, each with its name as ``model``.

    Args:
        size: of the encoder.
        seeds: as ``parse_seeds`` takes them.
        taps: another set of tapped blocks; the encoder's last ones, as many as PMT taps, by
            default.
    """
    own = own_choices("pmt", size=size, pretraining="none").taps
    depth = own[-1] + 1
    other = parse_taps(taps) or tuple(range(depth - len(own), depth))
    models: dict[str, dict[str, Any]] = {
        "PMT": {"rung": "pmt"},
        "PMT, encoder trained": {"rung": "pmt", "frozen_encoder": False},
        "PMT without lateral connections": {"rung": "pmt", "lateral_connections": False},
        f"PMT, taps {', '.join(map(str, other))}": {"rung": "pmt", "taps": other},
        "EoMT (encoder trained)": {"rung": "eomt"},
    }
    return [
        {"model": name, "seed": seed, **choice}
        for seed in parse_seeds(seeds)
        for name, choice in models.items()
    ]


def shared_encoder_table(study: Study, *, most: int = 4) -> pd.DataFrame:
    """What several PMT decoders cost on encoders of their own and on one that they share.

    Run as inference runs, eager, in the study's precision, and timed in interleaved pairs on one
    validation image; with random weights, which cost what others do.

    Args:
        study: whose size, classes, device and image size for timing are used.
        most: decoders, from 1 on.

    Returns:
        A row for each number: ``ms apart`` and ``ms shared`` (medians for all decoders together),
        ``times as fast``, and ``parameters (M)`` of both.
    """
    settings = study.settings
    size = settings.cost_image_size
    torch.manual_seed(settings.seed)
    first = study.experiment.build("pmt", size, load_weights=False).eval()
    image, _ = study.experiment.val_set.read(0)
    images = EvalTransform(size).fit(image)[None].to(settings.device)
    first = folded(first, precision=settings.precision).to(settings.device)
    rows = []
    for count in range(1, most + 1):
        apart = [deepcopy(first) for _ in range(count)]
        shared = SharedEncoder({f"task{i}": _on_encoder_of(first) for i in range(count)})
        sides = (partial(_one_by_one, apart, images), partial(shared.predict_all, images))
        with autocast_inference(settings.device, settings.precision):
            for side in sides:
                side()
            times = [[_seconds(side, settings.device) for side in sides] for _ in range(_PAIRS)]
        alone, together = (sorted(column)[_PAIRS // 2] for column in zip(*times, strict=True))
        ratios = sorted(a / b for a, b in times)
        rows.append(
            {
                "decoders": count,
                "ms apart": 1000 * alone,
                "ms shared": 1000 * together,
                "times as fast": ratios[_PAIRS // 2],
                "parameters apart (M)": sum(map(count_parameters, apart)) / 1e6,
                "parameters shared (M)": count_parameters(shared) / 1e6,
            }
        )
    return pd.DataFrame(rows)


def _on_encoder_of(model: PMT) -> PMT:
    """A copy of a model, but for its encoder."""
    encoder = model.encoder
    return deepcopy(model, {id(encoder): encoder})


def _one_by_one(models: Sequence[PMT], images: torch.Tensor) -> None:
    for model in models:
        model.predict_final(images)


def _seconds(function: Callable[[], object], device: str) -> float:
    _synchronize(device)
    start = time.perf_counter()
    function()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
