"""What a study is about to do, and about how long it will take on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from eomtlib.evaluation.costs import count_gmacs
from eomtlib.study.settings import Settings
from eomtlib.training.duration import parse_duration
from eomtlib.training.pretraining.masked_autoencoder import MaskedAutoencoder, build_autoencoder

# A step of training costs about three forward passes: forward, and backward twice that.
_TRAINING_FACTOR = 3.0
# Share of a plain matrix product's speed that whole models reach.
_EFFICIENCY = 0.5
# Seconds of a step that do not depend on the model: loading, loss, matching, optimizer.
_STEP_OVERHEAD = {"cpu": 0.06, "cuda": 0.03}
_EVALUATION_OVERHEAD = {"cpu": 0.02, "cuda": 0.01}
# Forward passes of a timing: warm-up and repeats, alone and end to end.
_TIMING_PASSES = 7
_TIMING_SECONDS = 3.0


@dataclass(frozen=True)
class Plan:
    """A plan, to be shown before anything is done.

    Attributes:
        text: Markdown.
        table: one row for each rung.
        seconds: estimate for all that is left to do with the rungs.
        before: what must be done first, said in ``text`` as well; empty where nothing must.
        before_seconds: estimate for that.
    """

    text: str
    table: pd.DataFrame
    seconds: float
    before: str = ""
    before_seconds: float = 0.0


def make_plan(
    settings: Settings,
    rungs: Sequence[str],
    *,
    done: Mapping[str, Sequence[str]],
    trained_before: Collection[str] = (),
    train: bool,
    gmacs_of: Callable[[str, tuple[int, int]], float],
    num_train: int,
    num_val: int,
) -> Plan:
    """Estimates each rung's time from its GMACs and the speed of a matrix product here.

    Args:
        settings: of the study.
        rungs: to run.
        done: rung → kinds of records that are there already.
        trained_before: rungs whose training another study does before this one.
        train: whether anything is trained.
        gmacs_of: a rung and an image size → GMACs, as ``Experiment.costs`` counts them.
        num_train: images.
        num_val: images that are evaluated on.
    """
    kind = settings.device.partition(":")[0]
    rate = _EFFICIENCY * matmul_gmacs(settings.device, settings.precision)
    duration = parse_duration(settings.duration)
    rows = []
    for rung in rungs:
        gmacs = {
            size: gmacs_of(rung, size) for size in {settings.image_size, settings.cost_image_size}
        }
        forward = gmacs[settings.image_size] / rate
        per_step = _TRAINING_FACTOR * settings.batch_size * forward + _STEP_OVERHEAD[kind]
        steps = duration.steps(
            samples=num_train,
            batch_size=settings.batch_size,
            seconds_per_step=lambda step=per_step: step,
        )
        timing = _TIMING_PASSES * gmacs[settings.cost_image_size] / rate + _TIMING_SECONDS
        seconds = {
            "training": steps * per_step if train else 0.0,
            "evaluation": num_val * (forward + _EVALUATION_OVERHEAD[kind]) if train else 0.0,
            "timing": timing,
        }
        if rung in trained_before:
            seconds["training"] = 0.0
        left = sum(value for name, value in seconds.items() if name not in done[rung])
        rows.append(
            {
                "rung": rung,
                "steps": steps if train else 0,
                "GMACs at training size": round(gmacs[settings.image_size], 2),
                "finished": ", ".join(done[rung]) or "–",
                "about": format_seconds(left),
                "seconds": left,
            }
        )
    table = pd.DataFrame(rows).set_index("rung")
    total = float(table.pop("seconds").sum())
    return Plan(_describe(settings, rungs, train, num_train, num_val, total), table, total)


def plan_pretraining(settings: Settings) -> tuple[str, float]:
    """What to say of a pretraining that must come first, and about how many seconds it takes."""
    config = settings.mim

    def forward(model: MaskedAutoencoder, image: Tensor) -> Tensor:
        return model(image, torch.rand(1, config.num_patches))

    gmacs = count_gmacs(lambda: build_autoencoder(config), config.image_size, call=forward)
    rate = _EFFICIENCY * matmul_gmacs(settings.device, settings.precision)
    seconds = config.steps * _TRAINING_FACTOR * config.batch_size * gmacs / rate
    source = "`shapes`" if config.images == "shapes" else f"`{Path(config.images).name}`"
    text = (
        "Before that the encoder is pretrained, once for all rungs and seeds: "
        f"{config.steps} steps of masked images of {source}, **about {format_seconds(seconds)}**."
    )
    return text, seconds


def matmul_gmacs(device: str, precision: str) -> float:
    """Giga multiply-accumulates a second of a matrix product, measured for a moment."""
    side = 1024 if device == "cpu" else 8192
    a = torch.rand(side, side, device=device, dtype=getattr(torch, precision))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a = (a @ a).clamp(0, 1)
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return side**3 / sorted(times)[1] / 1e9


def format_seconds(seconds: float) -> str:
    """``95`` → ``1.6 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _describe(
    settings: Settings,
    rungs: Sequence[str],
    train: bool,
    num_train: int,
    num_val: int,
    seconds: float,
) -> str:
    height, width = settings.image_size
    cost = settings.cost_image_size
    what = (
        f"train each of {len(rungs)} rungs on {num_train} images of `{settings.dataset}` "
        f"({settings.task}) for {settings.duration} (batch {settings.batch_size}, "
        f"{height}×{width}, seed {settings.seed}), evaluate on {num_val}, and time it at "
        f"{cost[0]}×{cost[1]}"
        if train
        else f"count and time {len(rungs)} rungs at {cost[0]}×{cost[1]}; nothing is trained"
    )
    label = f"\n\n**{settings.label}**: it shows that everything runs, not what it reaches."
    return (
        f"Size `{settings.size}`, pretraining `{settings.pretraining}`, on `{settings.device}` in "
        f"{settings.precision}: {what}. What is left will take **about "
        f"{format_seconds(seconds)}**.{label if settings.label and train else ''}"
    )
