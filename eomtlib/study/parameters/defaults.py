"""What a size means where nothing else is said: how large, how long, on how many images.

A paper's schedule where there is a GPU; on a CPU a short training, labelled as such, or one that
our own sizes learn the embedded data in.
"""

from __future__ import annotations

from dataclasses import dataclass

from eomtlib.core.words import COST_IMAGE_SIZE, OWN_SIZES, TRAINING_IMAGES
from eomtlib.models.ladder import HEAD_SIZES
from eomtlib.training.duration import parse_duration
from eomtlib.training.recipes import INPUT_SIZES, recipe


@dataclass(frozen=True)
class Defaults:
    """What a size means on a kind of machine, where nothing else is said.

    Attributes:
        image_size: training and evaluation, on ``shapes``.
        duration: of training.
        batch_size: in total.
        train_images: of ``shapes``.
        val_images: to evaluate on.
        is_schedule: whether the duration is one to learn in; False where it only shows that
            everything runs.
    """

    image_size: int
    duration: str
    batch_size: int
    train_images: int = 2000
    val_images: int = 200
    is_schedule: bool = True


DEFAULTS: dict[tuple[str, str], Defaults] = {
    ("nano", "cpu"): Defaults(64, "700steps", 8),
    ("micro", "cpu"): Defaults(64, "700steps", 8),
    ("small", "cpu"): Defaults(128, "30steps", 4, 200, 20, is_schedule=False),
    ("base", "cpu"): Defaults(128, "15steps", 2, 200, 20, is_schedule=False),
    ("large", "cpu"): Defaults(128, "20steps", 2, 200, 10, is_schedule=False),
    ("giant", "cpu"): Defaults(128, "3steps", 1, 200, 10, is_schedule=False),
    ("nano", "cuda"): Defaults(64, "6000steps", 16, 8000, 500),
    ("micro", "cuda"): Defaults(96, "6000steps", 16, 8000, 500),
    ("small", "cuda"): Defaults(320, "5000steps", 16, 8000, 500),
    ("base", "cuda"): Defaults(320, "5000steps", 16, 8000, 500),
    ("large", "cuda"): Defaults(320, "5000steps", 16, 8000, 500),
    ("giant", "cuda"): Defaults(320, "5000steps", 16, 8000, 500),
}

GALLERY_DURATION = "1200steps"
"""Of our own sizes on a CPU: what pretraining is worth shows where models without it are done."""


def embedded_defaults(size: str, device: str) -> Defaults:
    """On ``shapes``; a GPU that is not CUDA's is a laptop's, and gets what a CPU does."""
    return DEFAULTS[size, "cuda" if device.startswith("cuda") else "cpu"]


_REAL_DATA_CPU = Defaults(COST_IMAGE_SIZE, "20steps", 1, val_images=10)


def defaults_for(
    dataset: str, *, size: str, pretraining: str, task: str, device: str, rung: str = "eomt"
) -> tuple[Defaults, Defaults]:
    """What holds where nothing else is said, and what a full schedule would be.

    Args:
        dataset: its name.
        size: likewise.
        pretraining: likewise, or ``auto``.
        task: its name.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        rung: its name.

    Returns:
        Both, alike on ``shapes``.

    Raises:
        ConfigurationError: where the data set has no recipe for the task.
    """
    default = embedded_defaults(size, device)
    if dataset == "shapes":
        return default, default
    known = "none" if pretraining == "auto" else pretraining
    paper = recipe(task, dataset, rung, size=size, pretraining=known)
    side = INPUT_SIZES.get((dataset, task), COST_IMAGE_SIZE)
    full = Defaults(side, f"{paper.epochs}epochs", paper.batch_size, val_images=0)
    if size not in OWN_SIZES:
        default = full if device.startswith("cuda") else _REAL_DATA_CPU
    return default, full


_SPARE_QUERIES = 5
"""Beside one for each class, so that some find nothing, as most do in the papers."""


def default_queries(size: str, task: str, dataset: str, num_classes: int) -> int:
    """How many queries a model has where nobody says.

    Half the size's for semantic segmentation, as in the papers, whose images have fewer segments
    then; of one's own classes at least one for each, which is a segment, and some to spare.

    Args:
        size: of the encoder.
        task: its name.
        dataset: its name; those that are published have the papers' numbers.
        num_classes: of the data set.
    """
    if task != "semantic":
        return HEAD_SIZES[size].num_queries
    usual = HEAD_SIZES[size].num_queries // 2
    too_few = dataset == "custom" and usual < num_classes
    return num_classes + _SPARE_QUERIES if too_few else usual


def is_short(duration: str, full: Defaults, *, dataset: str, batch_size: int) -> bool:
    """Whether the accuracy of a run says little: it is shorter than what anything was tuned for.

    Args:
        duration: of the run.
        full: what it is compared with.
        dataset: its name; of those that are not published, steps are not compared with epochs.
        batch_size: of the run.
    """
    given, needed = parse_duration(duration), parse_duration(full.duration)
    if not full.is_schedule:
        return True
    if given.unit == needed.unit:
        return given.value < needed.value
    images = TRAINING_IMAGES.get(dataset)
    if (given.unit, needed.unit) == ("steps", "epochs") and images:
        # A hundredth less, for images without segments are left out.
        return given.value < 0.99 * needed.value * images / batch_size
    return needed.unit == "epochs"
