"""The papers' hyper-parameters as data: what a run does, for each rung, size and pretraining.

No training code holds a number of these. What changes over a run is a function of progress, so that
a recipe holds for any number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from eomtlib.encoders import OWN_SIZES, check_encoder
from eomtlib.errors import check_choice
from eomtlib.hyperparameters import (
    AnnealingConfig,
    AugmentationConfig,
    LossConfig,
    OptimizerConfig,
)
from eomtlib.ladder import HEAD_SIZES, LADDER

TASKS = ("panoptic",)
DATASETS = ("shapes", "coco")


@dataclass(frozen=True)
class Recipe:
    """All hyper-parameters of a run but its length, image size and batch size.

    Attributes:
        optimizer: learning rates and their course.
        loss: weights and points.
        annealing: how masks are given up, where they are.
        augmentation: what is drawn for a training image.
        gradient_clip: largest norm of all gradients together.
    """

    optimizer: OptimizerConfig = OptimizerConfig()
    loss: LossConfig = LossConfig()
    annealing: AnnealingConfig = AnnealingConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    gradient_clip: float = 0.01


EOMT = Recipe()
"""EoMT, Section 4.1, with DINOv2 (and EVA-02, DeiT-III) on COCO; for the first five rungs as well,
which the paper trains alike."""

PMT = replace(
    EOMT,
    optimizer=OptimizerConfig(lr=2e-4, warmup_steps=(6000,), schedule="cosine", final_lr=1e-9),
    annealing=AnnealingConfig(first_window_steps=3000),
)
"""PMT, Section 4.1."""

SCRATCH = replace(
    EOMT,
    optimizer=OptimizerConfig(lr=1e-3, layer_decay=1.0, warmup_steps=(0.05,)),
    # The mask logits of a 64-pixel image are 16 × 16: as dense as 12,544 points at 640 pixels.
    # What the texture and the form are is learned last, so classes weigh more.
    loss=LossConfig(num_points=128, class_weight=6.0),
    augmentation=AugmentationConfig(scale=(1.0, 1.0)),
    gradient_clip=0.1,
)
"""Our own, for encoders of our own sizes: they are trained from nothing on small images, so all
blocks learn alike from the start, and objects of a few pixels are not shrunk further."""


def recipe(task: str, dataset: str, rung: str, *, size: str, pretraining: str) -> Recipe:
    """The hyper-parameters of a run.

    Args:
        task: ``panoptic``.
        dataset: its name. ``coco`` is what the papers' hyper-parameters are stated for; the
            embedded ``shapes`` is trained alike.
        rung: of the ladder.
        size: of the encoder.
        pretraining: of the encoder.

    Raises:
        ConfigurationError: for an unknown name.
    """
    check_choice("task", task, TASKS)
    check_choice("dataset", dataset, DATASETS)
    check_choice("rung", rung, LADDER)
    check_encoder(size, pretraining)
    if size in OWN_SIZES:
        return SCRATCH
    if LADDER[rung].frozen_encoder:
        return PMT
    if pretraining == "dinov3":
        return _dinov3(size)
    return EOMT


def _dinov3(size: str) -> Recipe:
    """The authors' recipe with DINOv3 on COCO: the query blocks learn at the full rate."""
    optimizer = OptimizerConfig(
        lr=2e-4, warmup_steps=(2000, 3000), exempt_blocks=HEAD_SIZES[size].query_blocks
    )
    annealing = AnnealingConfig(first_window_steps=3000) if size == "large" else AnnealingConfig()
    return replace(EOMT, optimizer=optimizer, annealing=annealing)
