"""Values of a ``config.json``, checked as they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eomtlib.core.errors import CheckpointError

_MISSING = object()


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
            self._values = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: is no configuration: no JSON ({error}).") from error
        if not isinstance(self._values, dict):
            raise CheckpointError(f"{path}: is no configuration: it holds no object.")

    def raw(self, name: str, default: Any = None) -> Any:
        """A value as it is; ``default`` where there is none, or null."""
        value = self._values.get(name)
        return default if value is None else value

    def text(self, name: str) -> str:
        """A text that must be there."""
        return self._checked(name, self._values.get(name, _MISSING), str, "a text")

    def optional_text(self, name: str, *, missing: str) -> str | None:
        """A text or null; ``missing`` where there is neither."""
        value = self._values.get(name, missing)
        return None if value is None else self._checked(name, value, str, "a text")

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number of at least 1."""
        value = self._checked(name, self.raw(name, default), int, "a whole number")
        if value < 1:
            raise self._wrong(name, value, "a whole number of at least 1")
        return value

    def optional_whole(self, name: str) -> int | None:
        """Likewise, or None."""
        return None if self.raw(name) is None else self.whole(name)

    def size(self, name: str, default: int | None = None) -> tuple[int, int]:
        """Height and width, from two whole numbers or one for a square."""
        value = self.raw(name, default)
        sides = [value, value] if isinstance(value, int) else value
        is_pair = isinstance(sides, list) and len(sides) == 2
        if not is_pair or not all(type(side) is int and side > 0 for side in sides):
            raise self._wrong(name, value, "one or two whole numbers of at least 1")
        return sides[0], sides[1]

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        return self._list(name, str, "a list of texts")

    def switches(self, name: str) -> tuple[bool, ...] | None:
        """A list of true and false, or None."""
        return (
            None if self.raw(name) is None else self._list(name, bool, "a list of true and false")
        )

    def optional_switch(self, name: str) -> bool | None:
        """True, false, or None."""
        value = self.raw(name)
        return None if value is None else self._checked(name, value, bool, "true or false")

    def optional_wholes(self, name: str) -> tuple[int, ...] | None:
        """A list of whole numbers, or None."""
        return None if self.raw(name) is None else self._list(name, int, "a list of whole numbers")

    def _list(self, name: str, kind: type, what: str) -> tuple[Any, ...]:
        value = self._checked(name, self._values.get(name, _MISSING), list, what)
        if not all(type(item) is kind for item in value):
            raise self._wrong(name, value, what)
        return tuple(value)

    def _checked(self, name: str, value: Any, kind: type, what: str) -> Any:
        if type(value) is not kind:
            raise self._wrong(name, value, what)
        return value

    def _wrong(self, name: str, value: object, what: str) -> CheckpointError:
        if value is _MISSING or value is None:
            return CheckpointError(f"{self.path}: is no configuration: it lacks {name}, {what}.")
        shown = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:60]}…"
        return CheckpointError(f"{self.path}: {name} is {shown}, but must be {what}.")
