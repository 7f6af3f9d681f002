"""Points: what is varied, and the values of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.words import OWN_PRETRAININGS, OWN_SIZES, PRETRAININGS
from eomtlib.models.encoder_names import has_encoder
from eomtlib.study.parameters.parsing import parse_rungs, parse_seeds

Point = Mapping[str, Any]
"""``rung``, and the parameters and hyper-parameters in which a run differs from others."""


def grid(**axes: str | Sequence[Any]) -> list[Point]:
    """All combinations of the values of some parameters, the first axis changing slowest.

    Args:
        axes: parameter → its values, a sequence or a comma-separated string; ``rung`` knows
            ``all``.

    Returns:
        The points, without combinations of size and pretraining that do not exist.

    Raises:
        ConfigurationError: for a name that does not exist, or where nothing is left.
    """
    values = {name: _values(name, given) for name, given in axes.items()}
    points = [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]
    points = [point for point in points if _exists(point)]
    if not points:
        raise ConfigurationError(
            f"size={axes.get('size')!r} and pretraining={axes.get('pretraining')!r} have no "
            "encoder in common; add another of either."
        )
    return points


def as_text(value: object) -> object:
    """Sequences as texts, so that they can stand in a table."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else value


def without_useless_weights(parameters: dict[str, Any], points: Sequence[Point]) -> dict[str, Any]:
    """Where encoders of several kinds are compared, ``weights`` are for the published ones."""
    kinds = {(point.get("size"), point.get("pretraining")) for point in points}
    pretraining = parameters.get("pretraining", "auto")
    is_own = pretraining in OWN_PRETRAININGS
    is_own = is_own or (pretraining == "auto" and parameters.get("size") in OWN_SIZES)
    return parameters | {"weights": None} if len(kinds) > 1 and is_own else parameters


def _values(name: str, given: str | Sequence[Any]) -> Sequence[Any]:
    if name == "rung":
        return parse_rungs(given)
    if name == "seed":
        return parse_seeds(given)
    return [item.strip() for item in given.split(",")] if isinstance(given, str) else list(given)


def _exists(point: Point) -> bool:
    size, pretraining = point.get("size"), point.get("pretraining")
    return size is None or pretraining not in PRETRAININGS or has_encoder(size, pretraining)
