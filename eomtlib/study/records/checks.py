"""Checks a record's fields against their annotations, when it is made and when it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from numbers import Integral, Real
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from eomtlib.core.environment import Environment
from eomtlib.core.errors import RecordError


def build(cls: type, data: dict[str, Any], what: str, *, required: tuple[str, ...] = ()) -> Any:
    """An instance of a dataclass from a dict that was read."""
    for f in fields(cls):
        has_default = f.default is not MISSING or f.default_factory is not MISSING
        if f.name not in data and (not has_default or f.name in required):
            raise RecordError(f"{what}: the field {f.name!r} is missing.")
    unknown = sorted(set(data) - {f.name for f in fields(cls)})
    if unknown:
        raise RecordError(f"{what}: no such field as {unknown[0]!r} is known.")
    return cls(**data)


def check_fields(record: Any, what: str) -> None:
    """Brings every field into the form that its annotation states, or raises RecordError."""
    hints = _hints(type(record))
    for f in fields(record):
        value = _checked(getattr(record, f.name), hints[f.name], f.name, what)
        object.__setattr__(record, f.name, value)


def _checked(value: Any, hint: Any, name: str, what: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return None if is_undefined(value) else _checked(value, args[0], name, what)
    if hint is Environment:
        if isinstance(value, dict):
            value = build(Environment, value, f"{what}, {name}")
        if isinstance(value, Environment):
            check_fields(value, f"{what}, {name}")
            return value
    elif hint is Any:
        try:
            return json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError):
            raise field_error(name, "a JSON value", value, what) from None
    elif origin is dict and isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        undefined = {k for k, v in value.items() if args[1] is float and is_undefined(v)}
        return {
            k: math.nan if k in undefined else _checked(v, args[1], f"{name}[{k!r}]", what)
            for k, v in value.items()
        }
    elif origin is tuple and isinstance(value, list | tuple):
        length = None if args[-1] is Ellipsis else len(args)
        if length in (None, len(value)):
            return tuple(_checked(v, args[0], f"{name}[{i}]", what) for i, v in enumerate(value))
    elif isinstance(value, bool):
        if hint is bool:
            return value
    elif hint is int and isinstance(value, Integral):
        return int(value)
    elif hint is float and isinstance(value, Real) and math.isfinite(value):
        return float(value)
    elif hint is str and isinstance(value, str):
        return str(value)
    raise field_error(name, _spelled(hint), value, what)


def is_undefined(value: Any) -> bool:
    """Whether a figure has no value: None, NaN or infinite."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def field_error(name: str, expected: str, found: Any, what: str) -> RecordError:
    """What is wrong with a field, for the person who reads it."""
    shown = repr(found)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return RecordError(f"{what}: field {name!r} should be {expected}, but is {shown}.")


def _spelled(hint: Any) -> str:
    names = {int: "a whole number", float: "a finite number", str: "a text"}
    return names.get(hint) or (hint.__name__ if isinstance(hint, type) else str(hint))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)
