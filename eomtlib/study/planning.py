"""What a study is about to do, and about how long it will take on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from eomtlib.core.console import counted
from eomtlib.core.escaping import for_markdown
from eomtlib.core.words import SHIPPED
from eomtlib.evaluation.costs import count_gmacs
from eomtlib.study.parameters.settings import Settings
from eomtlib.study.runs.run import Run
from eomtlib.training.duration import parse_duration
from eomtlib.training.pretraining import PretrainingConfig
from eomtlib.training.pretraining.masked_autoencoder import MaskedAutoencoder, build_autoencoder

# A step of training costs about three forward passes: forward, and backward twice that.
_TRAINING_FACTOR = 3.0
# Share of a plain matrix product's speed that whole models reach.
_EFFICIENCY = 0.5
# Seconds of a step that do not depend on the model: loading, loss, matching, optimizer.
_STEP_OVERHEAD = {"cpu": 0.06, "cuda": 0.03, "mps": 0.06}
_EVALUATION_OVERHEAD = {"cpu": 0.02, "cuda": 0.01, "mps": 0.02}
# Forward passes of a timing: warm-up and repeats, alone and end to end.
_TIMING_PASSES = 7
_TIMING_SECONDS = 3.0


@dataclass(frozen=True)
class Plan:
    """A plan, to be shown before anything is done.

    Attributes:
        said: paragraphs, as a terminal shows them.
        table: one row for each run.
        seconds: estimate for all that is left to do.
        at_once: how many trainings share the machine.
    """

    said: tuple[str, ...]
    table: pd.DataFrame
    seconds: float
    at_once: int = 1

    @property
    def text(self) -> str:
        """The same in Markdown."""
        return "\n\n".join(map(for_markdown, self.said))


def make_plan(
    runs: Sequence[Run],
    points: Sequence[Mapping[str, Any]],
    *,
    train: bool,
    timed: bool = True,
    at_once: Callable[[float], int] = lambda _: 1,
) -> Plan:
    """Estimates each run's time from its GMACs and the speed of a matrix product here.

    Args:
        runs: of the study.
        points: what tells each from the others, for the table.
        train: whether anything is trained.
        timed: whether speed is measured as well.
        at_once: seconds that all takes one after the other → how many are trained at once.
    """
    first = runs[0].settings
    rate = _EFFICIENCY * matmul_gmacs(first.device, first.precision)
    kinds = {"train": train, "timed": timed}
    jobs = at_once(sum(row["seconds"] for row in _rows(runs, points, rate, **kinds)))
    rows = _rows(runs, points, rate, **kinds, at_once=jobs)
    total = sum(row["seconds"] for row in rows)
    # Configurations that differ in a seed share one pretraining.
    before = {run.materials.pretraining: run for run in runs if run.materials.must_pretrain}
    said = []
    for pretraining in before if train else ():
        seconds = _pretraining_seconds(pretraining, rate)
        total += seconds
        source = "shapes" if pretraining.images == "shapes" else Path(pretraining.images).name
        said.append(
            "Before that the encoder is pretrained, once for all rungs and seeds: "
            f"{counted(pretraining.steps, 'step')} of masked images of {source}, "
            f"about {format_seconds(seconds)}."
        )
    alike = [run for run in runs if run.settings == first]
    text = _describe(alike, train=train, timed=timed)
    if len(alike) < len(runs):
        text = f"{len(runs)} runs. The first configuration: {text}"
    text = f"{text} What is left will take about {format_seconds(total)}."
    if train:
        said += [f"Data: {text}." for text in runs[0].materials.remarks()]
    if first.kind == "mps":
        said.append("Nothing has been tried on mps yet: look twice at what comes out.")
    if first.label and train:
        said.insert(0, f"{first.label}; it shows that everything runs, not what it reaches.")
    return Plan((text, *said), pd.DataFrame(rows), total, jobs)


def matmul_gmacs(device: str, precision: str) -> float:
    """Giga multiply-accumulates a second of a matrix product, measured for a moment."""
    side = 1024 if device == "cpu" else 8192
    a = torch.rand(side, side, device=device, dtype=getattr(torch, precision))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a = (a @ a).clamp(0, 1)
        if device != "cpu":
            torch.accelerator.synchronize(device)
        times.append(time.perf_counter() - start)
    return side**3 / sorted(times)[1] / 1e9


def format_seconds(seconds: float) -> str:
    """``95`` → ``1.6 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _rows(
    runs: Sequence[Run],
    points: Sequence[Mapping[str, Any]],
    rate: float,
    *,
    train: bool,
    timed: bool,
    at_once: int = 1,
) -> list[dict[str, Any]]:
    """One for each run: what tells it from the others, and the share of all that it takes."""
    rows, known = [], set()
    for run, point in zip(runs, points, strict=True):
        steps, seconds = _estimate(run, rate, train=train, at_once=at_once)
        if not timed:
            del seconds["timing"]
        # Runs that differ in inference alone share a training.
        if (digest := run.identity.training_key.digest()) in known:
            seconds["training"] = 0.0
        known.add(digest)
        done = run.finished()
        left = sum(value for kind, value in seconds.items() if kind not in done)
        gmacs = run.maker.costs(run.settings.image_size)[1]
        rows.append(
            {
                **point,
                "steps": steps if train else 0,
                "GMACs at training size": round(gmacs, 2),
                "finished": ", ".join(done) or "–",
                "about": format_seconds(left),
                "seconds": left,
            }
        )
    return rows


def _estimate(run: Run, rate: float, *, train: bool, at_once: int) -> tuple[int, dict[str, float]]:
    """The steps of a training, and the seconds of each kind of record.

    Trainings at the same time share what multiplies; what else a step does, each does on its own.
    """
    s = run.settings
    forward = run.maker.costs(s.image_size)[1] / rate
    per_step = _TRAINING_FACTOR * s.batch_size * forward + _STEP_OVERHEAD[s.kind] / at_once
    steps = parse_duration(s.duration).steps(
        samples=len(run.materials.train_set),
        batch_size=s.batch_size,
        seconds_per_step=lambda: per_step,
    )
    evaluation = run.materials.num_val * (forward + _EVALUATION_OVERHEAD[s.kind] / at_once)
    timing = _TIMING_PASSES * run.maker.costs(s.cost_image_size)[1] / rate + _TIMING_SECONDS
    if not train:
        return steps, {"timing": timing}
    return steps, {"training": steps * per_step, "evaluation": evaluation, "timing": timing}


def _pretraining_seconds(config: PretrainingConfig, rate: float) -> float:
    def forward(model: MaskedAutoencoder, image: Tensor) -> Tensor:
        return model(image, torch.rand(1, config.num_patches))

    gmacs = count_gmacs(lambda: build_autoencoder(config), config.image_size, call=forward)
    return config.steps * _TRAINING_FACTOR * config.batch_size * gmacs / rate


def _describe(runs: Sequence[Run], *, train: bool, timed: bool) -> str:
    """What is done to some runs of one configuration."""
    s: Settings = runs[0].settings
    materials = runs[0].materials
    height, width = s.image_size
    cost = "{}×{}".format(*s.cost_image_size)
    asked = s.val_images > materials.num_val
    fewer = f" (val_images={s.val_images}, but there are no more)" if asked else ""
    rungs = runs[0].rung if len(runs) == 1 else f"{len(runs)} rungs"
    images = counted(len(materials.train_set), "image")
    what = (
        f"train {rungs} on {images} of {s.dataset} ({s.task}) for {parse_duration(s.duration).said}"
        f" (batch {s.batch_size}, {height}×{width}, seed {s.seed}), evaluate on "
        f"{counted(materials.num_val, 'image')}{fewer}{f', and time at {cost}' if timed else ''}"
        if train
        else f"count and time {rungs} at {cost}; nothing is trained"
    )
    about = " (of drawn scenes without labels, comes with the library)"
    start = s.pretraining + about * (s.pretraining == SHIPPED)
    return f"Size {s.size}, pretraining {start}, on {s.device} in {s.precision}: {what}."
