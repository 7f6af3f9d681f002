"""What every metric does, whatever it measures, and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import ClassInfo, SegmentMap


@dataclass(frozen=True)
class Result:
    """Figures of an evaluation.

    Attributes:
        metrics: name → figure over all classes, in percent; NaN where it is not defined. Numbers
            of classes are counts.
        per_class: name of the class → its figures in percent, and its counts.
    """

    metrics: dict[str, float]
    per_class: dict[str, dict[str, float]]


class Metric(Protocol):
    """Adds up over images, and over processes: each process updates its own, then one merges.

    ``Any`` stands for what a metric chooses: its prediction is one entry of what the task's
    post-processing returns, and its state a tensor or plain lists, small enough to be sent.

    Attributes:
        classes: of the data set; the position is the class index.
    """

    classes: tuple[ClassInfo, ...]

    def update(self, prediction: Any, target: SegmentMap) -> None:
        """Adds an image; a ConfigurationError where something does not fit, and nothing added."""

    def state(self) -> Any:
        """All that was added so far, for ``merge`` in another process; a copy, which stays."""

    def merge(self, state: Any) -> None:
        """Adds what another process has accumulated; a ConfigurationError for other classes."""

    def compute(self) -> Result:
        """Figures over all images so far."""


def checked_classes(classes: Sequence[ClassInfo]) -> tuple[ClassInfo, ...]:
    """The classes, as long as figures can be told apart by their names.

    Raises:
        ConfigurationError: when two classes have the same name.
    """
    if len({info.name for info in classes}) < len(classes):
        raise ConfigurationError("classes: two of them have the same name; rename one.")
    return tuple(classes)


def check_labels(name: str, labels: np.ndarray, num_classes: int) -> None:
    """Raises ConfigurationError unless all labels are class indices."""
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ConfigurationError(f"{name}: a class index lies outside 0 to {num_classes - 1}.")


def check_size(found: Sequence[int], target: SegmentMap) -> None:
    """Raises ConfigurationError unless a prediction is as large as its target."""
    if tuple(found) != target.size:
        raise ConfigurationError(
            f"prediction is {tuple(found)} pixels, but the target is {target.size}; both must be "
            "of the image's original size."
        )


def add_state(sums: np.ndarray, state: Tensor) -> None:
    """Adds another process's sums, a row for each class, to this one's in place.

    Raises:
        ConfigurationError: when they are of other classes.
    """
    if tuple(state.shape) != sums.shape:
        raise ConfigurationError(
            f"state of shape {tuple(state.shape)} does not fit {len(sums)} classes; merge what was "
            "measured on the same data set."
        )
    sums += state.cpu().numpy()
