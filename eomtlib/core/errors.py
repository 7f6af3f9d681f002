"""Errors for the person who reads them: what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EomtlibError(Exception):
    """Base of every error that the library raises about its input."""


class ConfigurationError(EomtlibError, ValueError):
    """A parameter has a value that cannot be used; the message names the parameter and the fix."""


class DataError(EomtlibError, ValueError):
    """A data set or one of its files cannot be used; the message names the file and the fix."""


class CheckpointError(EomtlibError, ValueError):
    """A weights file or folder cannot be used; the message names file, entry and fix."""


class RecordError(EomtlibError, ValueError):
    """A results file is no valid record; the message names the file and the field."""


def check_choice(parameter: str, value: str, choices: Iterable[str]) -> str:
    """Returns ``value`` if it is one of ``choices``.

    Raises:
        ConfigurationError: naming the parameter, the close matches and all choices.
    """
    known = list(choices)
    if value in known:
        return value
    close = difflib.get_close_matches(str(value), known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
    raise ConfigurationError(
        f"{parameter}={value!r} is not known.{hint} Choose one of: {', '.join(known)}."
    )


def check_ranges(config: object, **intervals: str) -> None:
    """Checks that numbers lie in their intervals.

    Args:
        config: has them as attributes.
        intervals: of each attribute, such as ``"(0, 1]"``; a round bracket excludes its end.

    Raises:
        ConfigurationError: naming the first that does not, and its interval.
    """
    for name, interval in intervals.items():
        value = getattr(config, name)
        low, high = (float(end) for end in interval[1:-1].split(","))
        above = low < value or (value == low and interval[0] == "[")
        below = value < high or (value == high and interval[-1] == "]")
        if not (above and below):
            raise ConfigurationError(f"{name}={value!r} must lie in {interval}.")
