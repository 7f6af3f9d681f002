"""What a recipe is made of: optimizer, loss, annealing and augmentation, as frozen, checked data.

Each hyper-parameter is described where it stands; ``HYPERPARAMETERS`` finds all of them by name.
Nothing heavy is imported, so that the command line can list them at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from eomtlib.core.errors import ConfigurationError, check_choice, check_ranges
from eomtlib.core.hyperparameters import Hyperparameter, hyper, hyperparameters_of
from eomtlib.data.feed.augmentation import AugmentationConfig

SCHEDULES = ("poly", "cosine")
FREQUENCIES = "frequencies"


@dataclass(frozen=True)
class LossConfig:
    """Weights and point sampling of the matching and the loss; defaults are Mask2Former's.

    The weights of classes, masks and Dice are those of the matching cost as well; ``class_weights``
    are of the loss alone.

    Raises:
        ConfigurationError: when a value lies outside its range.
    """

    class_weight: float = hyper(2.0, "of the classification term")
    mask_weight: float = hyper(5.0, "of the binary cross-entropy of the masks")
    dice_weight: float = hyper(5.0, "of the Dice term")
    no_object_weight: float = hyper(0.1, 'of "no object" in the classification loss')
    num_points: int = hyper(12544, "points in which a mask is looked at")
    oversample_ratio: float = hyper(3.0, "candidates drawn for each point")
    importance_sample_ratio: float = hyper(0.75, "share of the points chosen for uncertainty")
    class_weights: tuple[float, ...] | str = hyper(
        (),
        "a number for each class, [1,1,5], or frequencies: rare classes of the training set weigh "
        "more; empty: all alike",
        since_later=True,
    )

    def __post_init__(self) -> None:
        check_ranges(
            self,
            class_weight="[0, inf)",
            mask_weight="[0, inf)",
            dice_weight="[0, inf)",
            no_object_weight="[0, inf)",
            num_points="[1, inf)",
            oversample_ratio="[1, inf)",
            importance_sample_ratio="[0, 1]",
        )
        weights = self.class_weights
        if isinstance(weights, str):
            check_choice("class_weights", weights, (FREQUENCIES,))
        elif not all(0 <= weight < math.inf for weight in weights) or (
            weights and not sum(weights)
        ):
            raise ConfigurationError(
                f"class_weights={weights} must hold a number of at least 0 for each class, not all "
                "of them 0."
            )


@dataclass(frozen=True)
class OptimizerConfig:
    """How parameters are updated; defaults are EoMT's with DINOv2 on COCO.

    Block i of L gets ``lr * layer_decay ** (L − 1 − i)``; what stands before the blocks (patch and
    position embedding, prefix tokens) counts as block 0. A warm-up is linear from 0. Its lengths
    are numbers of steps (int) or shares of the run (float). Two: first all that is new, the encoder
    waiting at 0; then the encoder. One: all together.

    Raises:
        ConfigurationError: when a value cannot be used.
    """

    lr: float = hyper(1e-4, "peak learning rate of all that is new, and of the encoder's last norm")
    weight_decay: float = hyper(0.05, "of AdamW, on all parameters")
    decay_vectors: bool = hyper(True, "no: biases, norms and the like are exempt from weight decay")
    layer_decay: float = hyper(
        0.8, "of the learning rate, from each block of the ViT to the one before"
    )
    encoder_lr_factor: float = hyper(1.0, "times the learning rate of the encoder's blocks")
    exempt_blocks: int = hyper(0, "the encoder's last blocks that get the full learning rate")
    warmup_steps: tuple[int, ...] | tuple[float, ...] = hyper(
        (500, 1000),
        "steps or shares of the run; two: of what is new, then of the encoder",
        name="warmup",
    )
    max_warmup: float = hyper(0.3, "largest share of the run that a warm-up in steps may take")
    schedule: str = hyper("poly", "poly or cosine, from the end of the warm-up")
    power: float = hyper(0.9, "of the poly schedule", name="schedule_power")
    final_lr: float = hyper(1e-9, "where the cosine ends")

    def __post_init__(self) -> None:
        check_choice("schedule", self.schedule, SCHEDULES)
        check_ranges(
            self,
            lr="(0, inf)",
            weight_decay="[0, inf)",
            layer_decay="(0, 1]",
            encoder_lr_factor="[0, inf)",
            exempt_blocks="[0, inf)",
            max_warmup="(0, 1)",
            power="[0, inf)",
            final_lr="[0, inf)",
        )
        stages = self.warmup_steps
        if len(stages) not in (1, 2) or len({isinstance(stage, float) for stage in stages}) > 1:
            raise ConfigurationError(
                f"warmup={stages} must hold one or two lengths, either all in steps (500) or all "
                "as shares of the run (0.05)."
            )
        if min(stages) < 0 or (isinstance(stages[0], float) and sum(stages) >= 1):
            raise ConfigurationError(
                f"warmup={stages} must not be negative, and shares of the run must sum to less "
                "than 1; write numbers of steps without a decimal point."
            )


@dataclass(frozen=True)
class AnnealingConfig:
    """How the masks of an annealed model are given up, each block's in a window of its own.

    The common rule (``masking.annealing_windows``) holds where no windows are given.

    Raises:
        ConfigurationError: for windows that are none.
    """

    power: float = hyper(
        0.9, "of the polynomial by which masks are given up", name="annealing_power"
    )
    first_window_steps: int | None = hyper(
        None,
        "steps in which the first block's masks are given up, from 0 on (DINOv3, PMT); 0: as the "
        "other blocks'",
        name="first_window",
    )
    start: tuple[float, ...] = hyper(
        (),
        "where each block's window starts, in steps or shares of the run, [0.1,0.3,0.5]",
        name="annealing_start",
        since_later=True,
    )
    end: tuple[float, ...] = hyper(
        (), "where each block's window ends, likewise", name="annealing_end", since_later=True
    )

    def __post_init__(self) -> None:
        check_ranges(self, power="[0, inf)")
        pairs = list(zip(self.start, self.end, strict=False))
        if len(self.start) != len(self.end) or any(not 0 <= a <= b for a, b in pairs):
            raise ConfigurationError(
                f"annealing_start={self.start} and annealing_end={self.end} must hold a start and "
                "an end for each masked block, none negative, no end before its start."
            )

    def first_window(self, total_steps: int) -> tuple[float, float] | None:
        """The first block's window as shares of the run, at most a sixth of it."""
        if not self.first_window_steps:
            return None
        return 0.0, min(self.first_window_steps / total_steps, 1 / 6)

    def given_windows(self, total_steps: int) -> list[tuple[float, float]] | None:
        """The windows of all blocks as shares of the run, where they are given."""
        if not self.start:
            return None
        in_steps = self.end[-1] > 1
        ends = (min(1.0, value / total_steps if in_steps else value) for value in self.end)
        starts = (min(1.0, value / total_steps if in_steps else value) for value in self.start)
        return list(zip(starts, ends, strict=True))


@dataclass(frozen=True)
class Recipe:
    """All hyper-parameters of a run but its image size.

    Attributes:
        optimizer: learning rates and their course.
        loss: weights and points.
        annealing: how masks are given up, where they are.
        augmentation: what is drawn for a training image.
        batch_size: in total, over all devices.
    """

    optimizer: OptimizerConfig = OptimizerConfig()
    loss: LossConfig = LossConfig()
    annealing: AnnealingConfig = AnnealingConfig()
    augmentation: AugmentationConfig = AugmentationConfig()  # noqa: RUF009 (frozen)
    gradient_clip: float = hyper(0.01, "largest norm of all gradients together")
    epochs: int = hyper(12, "length of a full schedule, where no duration is given")
    batch_size: int = 16
    ema_decay: float = hyper(
        0.0,
        "of an exponential moving average of the weights, kept for evaluation; 0 for none",
        since_later=True,
    )

    def __post_init__(self) -> None:
        check_ranges(self, gradient_clip="(0, inf)", epochs="(0, inf)", ema_decay="[0, 1)")


HYPERPARAMETERS: dict[str, Hyperparameter] = hyperparameters_of(Recipe)
"""Name → where in a recipe it lies and what it is."""
