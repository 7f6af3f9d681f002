"""Hyper-parameters: fields of frozen data classes that say what they are, found and set by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from eomtlib.core.errors import ConfigurationError, check_choice

Config = TypeVar("Config")


def hyper(default: Any, said: str, *, name: str = "", since_later: bool = False) -> Any:
    """A field of a data class that is a hyper-parameter.

    Args:
        default: its value; a list is a tuple.
        said: a line of help.
        name: what people call it, where it is not the field's own.
        since_later: whether runs of earlier versions, which had no such thing, are those that have
            it at its default.
    """
    return field(default=default, metadata={"help": said, "name": name, "since_later": since_later})


@dataclass(frozen=True)
class Hyperparameter:
    """Where a hyper-parameter lies, and what it is.

    Attributes:
        part: the field of the configuration that holds it, empty for the configuration itself.
        field: in it.
        default: of its data class.
        help: a line.
    """

    part: str
    field: str
    default: Any
    help: str


def hyperparameters_of(cls: type, part: str = "") -> dict[str, Hyperparameter]:
    """Name → description, of a data class and of those that are its fields.

    Raises:
        ConfigurationError: where two have one name.
    """
    found: dict[str, Hyperparameter] = {}
    for f in fields(cls):
        if is_dataclass(f.default):
            inner = hyperparameters_of(type(f.default), f.name)
        elif "help" in f.metadata:
            name = f.metadata["name"] or f.name
            inner = {name: Hyperparameter(part, f.name, f.default, f.metadata["help"])}
        else:
            inner = {}
        if twice := found.keys() & inner.keys():
            raise ConfigurationError(f"{cls.__name__} has {', '.join(twice)} twice.")
        found |= inner
    return found


def value_of(config: Any, known: Hyperparameter) -> Any:
    """What it is in a configuration."""
    return getattr(getattr(config, known.part) if known.part else config, known.field)


def with_values(
    config: Config, values: Mapping[str, Any], known: Mapping[str, Hyperparameter]
) -> Config:
    """A configuration with some hyper-parameters set otherwise.

    Raises:
        ConfigurationError: for a name that is not known, or a value out of its range.
    """
    changes: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        one = known[check_choice("hyper-parameter", name, known)]
        changes.setdefault(one.part, {})[one.field] = value
    own = changes.pop("", {})
    parts = {part: replace(getattr(config, part), **new) for part, new in changes.items()}
    return replace(config, **own, **parts)


def in_key(config: Any) -> dict[str, Any]:
    """All values, for what tells a run from others; without those ``since_later`` at default."""
    told: dict[str, Any] = {}
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            told[f.name] = in_key(value)
        elif not (f.metadata.get("since_later") and value == f.default):
            told[f.name] = value
    return told
