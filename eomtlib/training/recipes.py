"""The papers' hyper-parameters as data: what a run does, for each task, data set, rung and encoder.

No training code holds a number of these. What changes over a run is a function of progress, so that
a recipe holds for any number of steps.
"""

from __future__ import annotations

from dataclasses import replace

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.words import DATASET_TASKS, OWN_SIZES, TASKS
from eomtlib.data.feed.augmentation import AugmentationConfig
from eomtlib.models.encoder_names import check_encoder
from eomtlib.models.ladder import HEAD_SIZES, LADDER
from eomtlib.models.options import ModelOptions
from eomtlib.training.hyperparameters import (
    AnnealingConfig,
    LossConfig,
    OptimizerConfig,
    Recipe,
)

INPUT_SIZES: dict[tuple[str, str], int] = {
    ("ade20k", "semantic"): 512,
    ("cityscapes", "semantic"): 1024,
    ("cityscapes", "panoptic"): 1024,
    ("cityscapes", "instance"): 1024,
}
"""Data set and task → the input size, where it is not 640: the papers', and on Cityscapes for every
task that of the one that they state, which is our choice."""

_EPOCHS = {"shapes": 12, "coco": 12, "ade20k": 31, "cityscapes": 107, "custom": 12}


EOMT = Recipe()
"""EoMT, Section 4.1, with DINOv2 (and EVA-02, DeiT-III) on COCO; for the first five rungs as well,
which the paper trains alike."""

PMT = replace(
    EOMT,
    optimizer=OptimizerConfig(lr=2e-4, warmup_steps=(6000,), schedule="cosine", final_lr=1e-9),
    annealing=AnnealingConfig(first_window_steps=3000),
)
"""PMT, Section 4.1, on COCO."""

SCRATCH = replace(
    EOMT,
    optimizer=OptimizerConfig(lr=1e-3, layer_decay=1.0, warmup_steps=(0.05,)),
    # The mask logits of a 64-pixel image are 16 × 16: as dense as 12,544 points at 640 pixels.
    # What the texture and the form are is learned last, so classes weigh more.
    loss=LossConfig(num_points=128, class_weight=6.0),
    augmentation=AugmentationConfig(scale=(1.0, 1.0), crop_attempts=5),
    gradient_clip=0.1,
)
"""Our own, for encoders of our own sizes, from random weights or a pretraining on small images: all
blocks learn alike from the start, and objects of a few pixels are not shrunk further."""


def recipe(
    task: str,
    dataset: str,
    rung: str,
    *,
    size: str,
    pretraining: str,
    options: ModelOptions = ModelOptions(),
) -> Recipe:
    """The hyper-parameters of a run.

    They are those of the released configurations, as far as there is one. Of DINOv3 and PMT there
    is none for Cityscapes, which has COCO's optimizer for the epochs that EoMT has there: our
    choice. So is that PMT, where its encoder is trained as well, has EoMT's, which spare an
    encoder's early blocks.

    Args:
        task: one of ``TASKS``.
        dataset: a name of ``DATASET_TASKS``.
        rung: of the ladder.
        size: of the encoder.
        pretraining: of the encoder.
        options: what of the rung is not as the papers build it.

    Raises:
        ConfigurationError: for an unknown name, or a task that the data set has no recipe for.
    """
    check_choice("task", task, TASKS)
    check_choice("dataset", dataset, DATASET_TASKS)
    check_choice("rung", rung, LADDER)
    check_encoder(size, pretraining)
    if task not in DATASET_TASKS[dataset]:
        raise ConfigurationError(
            f"task={task!r} has no recipe on dataset={dataset!r}; there is one for "
            f"{' and '.join(DATASET_TASKS[dataset])}."
        )
    if size in OWN_SIZES:
        return SCRATCH
    as_published = LADDER[rung].freeze == "encoder" and options.freeze in (None, "encoder")
    if as_published:
        chosen = _pmt(dataset)
    elif "dinov3" in pretraining:  # timm's names of it as well
        query_blocks = options.query_blocks or HEAD_SIZES[size].query_blocks
        # The blocks that process queries learn at the full rate, where there are such in the ViT.
        in_encoder = LADDER[rung].has_query_blocks and not LADDER[rung].has_own_blocks
        chosen = _dinov3(task, dataset, size, exempt=query_blocks if in_encoder else 0)
    else:
        chosen = replace(EOMT, epochs=_EPOCHS[dataset])
    return replace(chosen, augmentation=_augmentation(task, dataset))


def _pmt(dataset: str) -> Recipe:
    return replace(PMT, epochs=16 if dataset == "ade20k" else _EPOCHS[dataset])


def _dinov3(task: str, dataset: str, size: str, *, exempt: int) -> Recipe:
    """The authors' with DINOv3.

    Their configuration for ADE20K asks for a tenth of the encoder's learning rate, which the code
    that trained the released model never applies: all blocks had the full one, as here.

    Args:
        task: its name.
        dataset: likewise.
        size: likewise.
        exempt: as ``OptimizerConfig.exempt_blocks``.
    """
    optimizer = OptimizerConfig(lr=2e-4, warmup_steps=(2000, 3000))
    annealing = AnnealingConfig(first_window_steps=None if task == "instance" else 3000)
    if dataset == "ade20k":
        optimizer = replace(optimizer, layer_decay=1.0)
        epochs = 16
    else:
        optimizer = replace(optimizer, exempt_blocks=exempt)
        epochs = 24 if dataset == "coco" and size != "large" else _EPOCHS[dataset]
    return replace(EOMT, optimizer=optimizer, annealing=annealing, epochs=epochs)


def _augmentation(task: str, dataset: str) -> AugmentationConfig:
    """Smaller images are not shrunk as far for semantic segmentation; colours change on two.

    How strong, the authors' code says: SSD's brightness (up to 32 of 255), and half of the hue that
    OpenCV's 18 of 180 stands for.
    """
    scale = (0.5, 2.0) if task == "semantic" else (0.1, 2.0)
    if dataset not in ("ade20k", "cityscapes"):
        return AugmentationConfig(scale=scale)
    return AugmentationConfig(
        scale=scale, brightness=32 / 255, contrast=0.5, saturation=0.5, hue=18 / 360
    )
