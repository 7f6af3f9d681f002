"""How long a run is: ``"300steps"``, ``"12epochs"`` or ``"5min"``, and what that is in steps."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from eomtlib.core.errors import ConfigurationError

_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(steps?|epochs?|min|minutes?)?")
_UNITS = {"s": "steps", "e": "epochs", "m": "minutes"}


@dataclass(frozen=True)
class Duration:
    """A length of training.

    Attributes:
        value: a positive number.
        unit: ``steps``, ``epochs`` or ``minutes``.
    """

    value: float
    unit: str

    def steps(
        self,
        *,
        samples: int,
        batch_size: int,
        seconds_per_step: Callable[[], float] | None = None,
    ) -> int:
        """The duration in optimizer steps, at least one.

        Args:
            samples: in the training set.
            batch_size: in total, over all devices.
            seconds_per_step: measures a step; needed and called for minutes only.
        """
        if self.unit == "steps":
            return max(1, round(self.value))
        if self.unit == "epochs":
            # An incomplete last batch does not count: 12 epochs of COCO are 12 · 7,391 steps.
            per_epoch = samples // batch_size or samples / batch_size
            return max(1, math.floor(self.value * per_epoch))
        return max(1, math.floor(60 * self.value / seconds_per_step()))

    @property
    def said(self) -> str:
        """In a sentence: ``20 steps``, ``1 epoch``."""
        return f"{self.value:.10g} {self.unit if self.value != 1 else self.unit[:-1]}"

    def __str__(self) -> str:
        value = f"{self.value:.9f}".rstrip("0").rstrip(".")
        return f"{value}min" if self.unit == "minutes" else f"{value}{self.unit}"


def parse_interval(text: str | float, *, parameter: str) -> Duration | float:
    """``"500steps"``, ``"1epochs"``, or ``"10%"`` of a run as a share in (0, 1].

    Raises:
        ConfigurationError: naming the parameter and the accepted forms.
    """
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", str(text).strip())
    if percent and 0 < float(percent[1]) <= 100:
        return float(percent[1]) / 100
    if not percent:
        found = parse_duration(text, parameter=parameter)
        if found.unit != "minutes":
            return found
    raise ConfigurationError(
        f"{parameter}={text!r} is no interval; write for example '500steps', '1epochs' or '10%'."
    )


def parse_duration(text: str | int | float, *, parameter: str = "duration") -> Duration:
    """Reads a duration; a bare number is a number of steps.

    Raises:
        ConfigurationError: naming the parameter and the accepted forms.
    """
    match = _FORM.fullmatch(str(text).strip().lower())
    value, unit = (float(match[1]), _UNITS[(match[2] or "s")[0]]) if match else (0.0, "")
    if value <= 0 or (unit == "steps" and value != int(value)):
        raise ConfigurationError(
            f"{parameter}={text!r} is no duration; write for example '300steps', '12epochs', "
            "'5min', or a whole number of steps."
        )
    return Duration(value, unit)
