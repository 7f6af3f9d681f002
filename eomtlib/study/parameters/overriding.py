"""What somebody sets otherwise than the recipe, or varies: ``"lr=2e-4; taps=[2,3],[4,5]"``.

``;`` stands between names, ``,`` between values to vary, and brackets round a value that is a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.study.parameters.parsing import number, switch, text_of, whole
from eomtlib.training.hyperparameters import HYPERPARAMETERS

_COMMA = re.compile(r",(?![^\[]*\])")


def assignments(name: str, value: str | Mapping[str, Any]) -> dict[str, Any]:
    """``"a=1; b=[2,3]"``, or a mapping → name → what stands behind it.

    Raises:
        ConfigurationError: for a text without ``=``, or a name that comes twice.
    """
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    found: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text_of(name, value).split(";"))):
        key, equals, behind = (piece.strip() for piece in part.partition("="))
        if not (key and equals and behind) or key in found:
            raise ConfigurationError(
                f"{name}={value!r}: {part!r} must be a name, = and a value, each name once, as in "
                '"lr=2e-4; layer_decay=0.9".'
            )
        found[key] = behind
    return found


def axes(name: str, value: str | Mapping[str, Any]) -> dict[str, list[Any]]:
    """``"lr=1e-4,2e-4; taps=[2,3],[4,5]"``, or a mapping of lists → name → its values.

    Raises:
        ConfigurationError: as ``assignments``, and for a value that comes twice.
    """
    found = {}
    for key, given in assignments(name, value).items():
        items = _COMMA.split(given) if isinstance(given, str) else given
        items = list(items) if isinstance(items, Iterable) else [items]
        values = [_bare(item) for item in items]
        if "" in values or len(set(map(str, values))) < len(values):
            raise ConfigurationError(
                f"{name}: the values of {key}, {given!r}, must be separated by commas, each once; "
                "brackets stand round a value that is a list."
            )
        found[key] = values
    return found


def read_vary(name: str, value: str | Mapping[str, Any], known: Iterable[str]) -> str:
    """What is varied in its one spelling; raises as ``axes``, and for what is not ``known``."""
    found = axes(name, value)
    for key in found:
        check_choice(name, key, known)
    return "; ".join(
        f"{key}={','.join(_listed(item) for item in items)}" for key, items in found.items()
    )


def _listed(item: Any) -> str:
    text = ",".join(map(str, item)) if isinstance(item, list | tuple) else str(item)
    return f"[{text}]" if "," in text else text


def read_overrides(name: str, value: str | Mapping[str, Any]) -> str:
    """Hyper-parameters in their one spelling, in the order of ``HYPERPARAMETERS``.

    Raises:
        ConfigurationError: for an unknown name, or a value of another kind.
    """
    given = overrides_of(value, name=name)
    return "; ".join(f"{key}={_written(given[key])}" for key in HYPERPARAMETERS if key in given)


def overrides_of(value: str | Mapping[str, Any], *, name: str = "overrides") -> dict[str, Any]:
    """Hyper-parameter → its value, as a recipe takes it; raises as ``read_overrides``."""
    given = assignments(name, value)
    for key in given:
        check_choice(name, key, HYPERPARAMETERS)
    return {key: _typed(key, _bare(item)) for key, item in given.items()}


def _bare(item: Any) -> Any:
    """A text without the brackets around it."""
    if not isinstance(item, str):
        return item
    item = item.strip()
    return item[1:-1].strip() if item.startswith("[") and item.endswith("]") else item


def _typed(name: str, value: Any) -> Any:
    """A value as its default is: a number, a whole one, yes or no, a name, or a list of numbers."""
    default = HYPERPARAMETERS[name].default
    if isinstance(default, bool):
        return switch(name, value)
    if default is None or isinstance(default, int):
        return whole(name, value, at_least=0)
    if isinstance(default, float):
        return number(name, value)
    if isinstance(default, str):
        return text_of(name, value)
    items = value.split(",") if isinstance(value, str) else value
    items = [items] if isinstance(items, int | float) else items
    if name == "class_weights" and isinstance(value, str) and value[:1].isalpha():
        return value
    # A length of 1 is a step, and one of 1.0 the whole run.
    return tuple(_step_or_share(name, item) for item in items if str(item).strip())


def _step_or_share(name: str, item: Any) -> float:
    value = number(name, item)
    is_share = "." in str(item) or "e-" in str(item).lower()
    return value if is_share or value != int(value) else int(value)


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(repr, value))}]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else repr(value)
