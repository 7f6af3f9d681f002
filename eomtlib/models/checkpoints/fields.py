"""Values of a ``config.json``, checked as they are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eomtlib.core.errors import CheckpointError

_REQUIRED = object()


@dataclass(frozen=True)
class Kind:
    """What a value must be.

    Attributes:
        what: the same in words.
        fits: whether a value is one.
    """

    what: str
    fits: Callable[[Any], bool]


def _is_list(value: object, kind: type) -> bool:
    return type(value) is list and all(type(item) is kind for item in value)


def _is_size(value: object) -> bool:
    sides = [value, value] if type(value) is int else value
    return _is_list(sides, int) and len(sides) == 2 and min(sides) > 0


KINDS = {
    "str": Kind("a text", lambda value: type(value) is str),
    "bool": Kind("true or false", lambda value: type(value) is bool),
    "int": Kind("a whole number of at least 1", lambda value: type(value) is int and value > 0),
    "tuple[int, int]": Kind("one or two whole numbers of at least 1", _is_size),
    "tuple[int, ...]": Kind("a list of whole numbers", lambda value: _is_list(value, int)),
    "tuple[str, ...]": Kind("a list of texts", lambda value: _is_list(value, str) and len(value)),
    "tuple[bool, ...]": Kind("a list of true and false", lambda value: _is_list(value, bool)),
}
"""Type in Python → what stands for it in JSON; a size may be one number, for a square."""


class Fields:
    """The fields of one configuration file.

    Args:
        path: of the file, an object in JSON.

    Raises:
        CheckpointError: when it cannot be read, or is no object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.values = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: is no configuration: no JSON ({error}).") from error
        if not isinstance(self.values, dict):
            raise CheckpointError(f"{path}: is no configuration: it holds no object.")

    def raw(self, name: str, default: Any = None) -> Any:
        """A value as it is; ``default`` where there is none, or null."""
        value = self.values.get(name)
        return default if value is None else value

    def read(self, name: str, kind: str, *, default: Any = _REQUIRED) -> Any:
        """A value of one of ``KINDS``, lists as tuples.

        Raises:
            CheckpointError: for another value, or none where there is no default.
        """
        value = self.raw(name, default)
        if value is default and default is not _REQUIRED:
            return default
        what = KINDS[kind].what
        if value is _REQUIRED:
            raise CheckpointError(f"{self.path}: is no configuration: it lacks {name}, {what}.")
        if not KINDS[kind].fits(value):
            shown = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:60]}…"
            raise CheckpointError(f"{self.path}: {name} is {shown}, but must be {what}.")
        if kind == "tuple[int, int]" and isinstance(value, int):
            return (value, value)
        return tuple(value) if isinstance(value, list) else value
