"""What a recipe is made of: loss, optimizer and annealing, each a frozen, checked piece of data."""

from __future__ import annotations

from dataclasses import dataclass

from eomtlib.core.errors import ConfigurationError, check_choice, check_ranges

SCHEDULES = ("poly", "cosine")


@dataclass(frozen=True)
class LossConfig:
    """Weights and point sampling of the matching and the loss; defaults are Mask2Former's.

    Attributes:
        class_weight: of the classification term, in the matching cost and in the loss.
        mask_weight: of the binary cross-entropy of the masks, likewise.
        dice_weight: of the Dice term, likewise.
        no_object_weight: weight of "no object" in the classification loss.
        num_points: points in which a mask is looked at.
        oversample_ratio: candidates drawn for each point, at least 1.
        importance_sample_ratio: share of the points that are chosen for their uncertainty, in
            [0, 1].

    Raises:
        ConfigurationError: when a value lies outside its range.
    """

    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    no_object_weight: float = 0.1
    num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_sample_ratio: float = 0.75

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


@dataclass(frozen=True)
class OptimizerConfig:
    """How parameters are updated; defaults are EoMT's with DINOv2 on COCO.

    Attributes:
        lr: peak learning rate of all that is new, and of the encoder's final norm.
        weight_decay: of AdamW, on all parameters.
        decay_vectors: False exempts biases, norms and other parameters of one axis from it.
        layer_decay: block i of L gets ``lr * layer_decay ** (L − 1 − i)``; what stands before the
            blocks (patch and position embedding, prefix tokens) counts as block 0.
        encoder_lr_factor: times the learning rate of the encoder's blocks and what stands before.
        exempt_blocks: the encoder's last blocks that get the full ``lr``, neither decayed nor
            multiplied: the blocks that process queries in the DINOv3 recipe for COCO.
        warmup_steps: lengths of the linear warm-up from 0, as numbers of steps (int) or as shares
            of the run (float). Two: first all that is new, the encoder waiting at 0; then the
            encoder. One: all together.
        max_warmup: largest share of the run that a warm-up given in steps may take; in a shorter
            run its stages shrink together.
        schedule: ``poly`` or ``cosine``; counted, for each parameter, from the end of its warm-up.
        power: of the polynomial.
        final_lr: where the cosine ends.

    Raises:
        ConfigurationError: when a value cannot be used.
    """

    lr: float = 1e-4
    weight_decay: float = 0.05
    decay_vectors: bool = True
    layer_decay: float = 0.8
    encoder_lr_factor: float = 1.0
    exempt_blocks: int = 0
    warmup_steps: tuple[int, ...] | tuple[float, ...] = (500, 1000)
    max_warmup: float = 0.3
    schedule: str = "poly"
    power: float = 0.9
    final_lr: float = 1e-9

    def __post_init__(self) -> None:
        check_choice("schedule", self.schedule, SCHEDULES)
        check_ranges(self, lr="(0, inf)", layer_decay="(0, 1]", max_warmup="(0, 1)")
        stages = self.warmup_steps
        if len(stages) not in (1, 2) or len({isinstance(stage, float) for stage in stages}) > 1:
            raise ConfigurationError(
                f"warmup_steps={stages} must hold one or two lengths, either all in steps (int) or "
                "all as shares of the run (float)."
            )
        if min(stages) < 0 or (isinstance(stages[0], float) and sum(stages) >= 1):
            raise ConfigurationError(
                f"warmup_steps={stages} must not be negative, and shares of the run must sum to "
                "less than 1; write numbers of steps without a decimal point."
            )


@dataclass(frozen=True)
class AnnealingConfig:
    """How the masks of an annealed model are given up.

    Attributes:
        power: of the polynomial by which a block's probability falls inside its window.
        first_window_steps: length in steps of the first block's window, which then starts at 0
            (DINOv3-L, PMT); None for the common rule.
    """

    power: float = 0.9
    first_window_steps: int | None = None

    def first_window(self, total_steps: int) -> tuple[float, float] | None:
        """The first block's window as shares of the run, at most a sixth of it."""
        if self.first_window_steps is None:
            return None
        return 0.0, min(self.first_window_steps / total_steps, 1 / 6)
