"""What every metric does, whatever it measures, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import VOID, ClassInfo, SegmentMap
from eomtlib.evaluation.metrics.confusion import Confusion


@dataclass(frozen=True)
class Result:
    """Figures of an evaluation.

    Attributes:
        metrics: name → figure over all classes, in percent; NaN where it is not defined. Numbers
            of classes are counts.
        per_class: name of the class → its figures in percent, and its counts.
        errors: what is lacking to the whole, and where it went, in points; the task's metric says
            in which form. JSON values.
        confusion: of all images, which ``evaluate`` adds whatever the metric is.
    """

    metrics: dict[str, float]
    per_class: dict[str, dict[str, float]]
    errors: dict[str, Any] = field(default_factory=dict)
    confusion: Confusion = ()


class Metric(Protocol):
    """Adds up over images, and over processes: each process updates its own, then one merges.

    ``Any`` stands for what a metric chooses: what it is given of an image is an entry of what the
    task's post-processing returns, and its state a tensor or plain lists, small enough to be sent.

    Attributes:
        classes: of the data set; the position is the class index.
    """

    classes: tuple[ClassInfo, ...]

    def update(self, segmented: Any, target: SegmentMap) -> None:
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


def check_target(
    target: SegmentMap, size: Sequence[int], *, num_classes: int, layered: bool = False
) -> None:
    """Raises ConfigurationError unless a target can be compared with a prediction.

    Args:
        target: the ground truth.
        size: height and width of the prediction.
        num_classes: of the data set.
        layered: whether segments may overlap.
    """
    if not layered and len(target.ids) != 1:
        raise ConfigurationError(
            f"target has {len(target.ids)} layers; this metric needs segments that do not overlap, "
            "in one layer."
        )
    if tuple(size) != target.size:
        raise ConfigurationError(
            f"prediction is {tuple(size)} pixels, but the target is {target.size}; both must be "
            "of the image's original size."
        )
    check_range("target holds classes", target.labels, num_classes)
    check_range("target holds ids", target.ids, target.num_segments, lowest=VOID)


def check_range(what: str, values: Tensor, count: int, *, lowest: int = 0) -> None:
    """Raises ConfigurationError unless integers lie between ``lowest`` and ``count - 1``."""
    if not values.numel():
        return
    low, high = torch.stack(values.aminmax()).tolist()
    if not lowest <= low <= high < count:
        raise ConfigurationError(f"{what} from {low} to {high}, but there are {count} of them.")


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


def percent(part: np.ndarray, whole: np.ndarray, *, absent: float = 0.0) -> np.ndarray:
    """Parts of wholes, 0 to 100; ``absent`` where a whole is 0, as of a class without a pixel."""
    occurs = whole > 0
    share = np.divide(part, whole, where=occurs, out=np.zeros(whole.shape))
    return np.where(occurs, 100 * share, absent)


def by_class(
    classes: Sequence[ClassInfo], columns: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, float]]:
    """``Result.per_class`` of columns that hold a number for each class."""
    return {
        info.name: {name: float(values[index]) for name, values in columns.items()}
        for index, info in enumerate(classes)
    }
