"""Mask annealing: with what probability the masks of each block apply as training goes on.

EoMT (Kerssies et al., CVPR 2025, Section 3.3): every block's masks always apply at first and never
at the end; in between the probability falls, for the earliest block first. Everything is a function
of progress, the share of the run that is behind.
"""

from __future__ import annotations

from collections.abc import Sequence

from eomtlib.core.errors import ConfigurationError
from eomtlib.training.hyperparameters import AnnealingConfig

Window = tuple[float, float]


def annealing_windows(num_blocks: int, *, first_window: Window | None = None) -> list[Window]:
    """When each masked block is annealed, from and to which progress in [0, 1].

    Starts are spread evenly from 1/6 to 4/6 of the run, and each window is 1/6 long. This gives the
    step lists of the released COCO models.

    Args:
        num_blocks: masked blocks, earliest first.
        first_window: replaces the first block's window: PMT and EoMT with DINOv3 (but for
            instances) anneal it in the first 3000 steps.

    Raises:
        ConfigurationError: when there is no block, or ``first_window`` does not lie in [0, 1].
    """
    if num_blocks < 1:
        raise ConfigurationError(f"num_blocks={num_blocks} must be at least 1.")
    spacing = 3 / 6 / max(1, num_blocks - 1)
    starts = [1 / 6 + spacing * block for block in range(num_blocks)]
    windows = [(start, start + 1 / 6) for start in starts]
    if first_window is not None:
        start, end = first_window
        if not 0 <= start <= end <= 1:
            raise ConfigurationError(
                f"first_window=({start}, {end}) must hold two shares of the run, "
                "0 <= start <= end <= 1; divide steps by the steps of the run."
            )
        windows[0] = (start, end)
    return windows


def windows_of(config: AnnealingConfig, num_blocks: int, *, total_steps: int) -> list[Window]:
    """The windows of a run's masked blocks, as given or by the common rule.

    Args:
        config: of its recipe.
        num_blocks: masked blocks, earliest first.
        total_steps: of the run.

    Raises:
        ConfigurationError: where windows are given for another number of blocks.
    """
    given = config.given_windows(total_steps)
    if given is None:
        return annealing_windows(num_blocks, first_window=config.first_window(total_steps))
    if len(given) != num_blocks:
        raise ConfigurationError(
            f"annealing_start and annealing_end hold {len(given)} windows, and {num_blocks} blocks "
            "are masked; give one for each, the earliest first."
        )
    return given


def masking_probabilities(
    progress: float, windows: Sequence[Window], *, power: float = 0.9
) -> list[float]:
    """The probability that a query's mask applies in each block.

    Args:
        progress: share of the run that is behind, in [0, 1].
        windows: of the blocks, as ``annealing_windows`` returns them.
        power: of the polynomial that falls inside a window.

    Returns:
        One number in [0, 1] for each window: 1 before it, 0 from its end on.
    """
    return [_probability(progress, start, end, power) for start, end in windows]


def _probability(progress: float, start: float, end: float, power: float) -> float:
    if progress >= end:
        return 0.0
    if progress <= start:
        return 1.0
    return (1 - (progress - start) / (end - start)) ** power
