"""Values as people hand them over (numbers, texts, lists), checked and in one form.

Papermill's command line knows no None: empty strings and 0 stand for "not given" where a parameter
has a default of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.words import RUNGS
from eomtlib.training.duration import parse_duration

Reader = Callable[[str, Any], Any]
"""The name of a parameter and a value that somebody gives it → the checked value. A value that was
read already is read as itself."""

LOGGERS = {"csv": "csv", "tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
"""Logger → the module that it needs."""

_SWITCH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def optional(read: Reader, *not_given: Any) -> Reader:
    """A reader of None, ``""`` and other values that stand for "not given" as None."""
    return lambda name, value: None if value in (None, "", (), *not_given) else read(name, value)


def otherwise(default: Any, read: Reader) -> Reader:
    """A reader that takes "not given" for a default."""
    return lambda name, value: default if value in (None, "") else read(name, value)


def one_of(choices: Iterable[str]) -> Reader:
    """A reader of one of some names."""
    return lambda name, value: check_choice(name, value, choices)


def some_of(choices: Iterable[str]) -> Reader:
    """A reader of a list of names; see ``as_list``."""
    return lambda name, value: as_list(name, value, choices)


def whole_from(at_least: int) -> Reader:
    """A reader of whole numbers; see ``whole``."""
    return lambda name, value: whole(name, value, at_least=at_least)


def as_list(parameter: str, value: str | Sequence[str], choices: Iterable[str]) -> tuple[str, ...]:
    """A list, or a comma-separated string (as papermill's command line hands it over), checked."""
    items = value.split(",") if isinstance(value, str) else list(value)
    names = tuple(item.strip() for item in items if str(item).strip())
    for name in names:
        check_choice(parameter, name, choices)
    if len(set(names)) != len(names):
        raise ConfigurationError(f"{parameter}={value!r} names something twice.")
    return names


def parse_rungs(value: str | Sequence[str]) -> tuple[str, ...]:
    """The rungs to run, in the ladder's order; ``all`` for all seven."""
    if value == "all":
        return RUNGS
    chosen = as_list("rungs", value, RUNGS)
    if not chosen:
        raise ConfigurationError(f"rungs is empty; use 'all' or some of: {', '.join(RUNGS)}.")
    return tuple(rung for rung in RUNGS if rung in chosen)


def parse_numbers(
    name: str, value: str | int | Sequence[int], *, at_least: int = 1
) -> tuple[int, ...]:
    """``3``, ``"0,1,2"`` or a sequence → whole numbers, each once.

    Raises:
        ConfigurationError: for what is no such number, a repetition, or nothing at all.
    """
    items = value.split(",") if isinstance(value, str) else value
    items = list(items) if isinstance(items, Sequence) else [items]
    numbers = tuple(whole(name, item, at_least=at_least) for item in items)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ConfigurationError(f"{name}={value!r} must hold whole numbers, each once.")
    return numbers


def parse_seeds(value: str | int | Sequence[int]) -> tuple[int, ...]:
    """``3``, ``"0,1,2"`` or a sequence → seeds; see ``parse_numbers``."""
    return parse_numbers("seeds", value, at_least=0)


def parse_image_size(value: int | str | Sequence[int]) -> tuple[int, int]:
    """``640``, ``"480x640"`` (height x width) or a pair → (height, width)."""
    try:
        if isinstance(value, int | float):
            sides = (int(value), int(value))
        elif isinstance(value, str):
            sides = tuple(int(side) for side in value.lower().replace("×", "x").split("x"))
            sides = sides * 2 if len(sides) == 1 else sides
        else:
            sides = tuple(int(side) for side in value)
    except (TypeError, ValueError):
        sides = ()
    if len(sides) != 2 or min(sides) < 1:
        raise ConfigurationError(
            f"image_size={value!r} is no size; write 640, or '480x640' for height x width."
        )
    return sides


def switch(name: str, value: bool | str) -> bool:
    """``yes``, ``no`` and their kin."""
    return _SWITCH[check_choice(name, str(value).lower(), _SWITCH)]


def whole(name: str, value: object, *, at_least: int) -> int:
    """A whole number, however it is written."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = None
    if number is None or number != float(value) or number < at_least:
        raise ConfigurationError(f"{name}={value!r} must be a whole number of at least {at_least}.")
    return number


def read_duration(name: str, value: str | float) -> str:
    """A duration in its usual spelling; see ``parse_duration``."""
    return str(parse_duration(value, parameter=name))


def read_path(name: str, value: str | Path) -> Path:
    """A path, with ``~`` as the home folder."""
    return Path(str(value)).expanduser()


def read_loggers(name: str, value: str | Sequence[str]) -> tuple[str, ...]:
    """Names of loggers whose packages are installed."""
    names = as_list(name, value, LOGGERS)
    for logger in names:
        if find_spec(LOGGERS[logger]) is None:
            raise ConfigurationError(
                f"{name}={logger!r} needs a package that is not installed: pip install {logger}."
            )
    return names


def resolve_results_dir(results_dir: str | Path) -> Path:
    """A relative folder is the project's where one is around: JupyterLab starts in notebooks/."""
    folder = Path(results_dir).expanduser()
    if folder.is_absolute():
        return folder
    for root in (Path.cwd(), *Path.cwd().parents):
        if (root / "results" / "paper").is_dir() and (root / "notebooks").is_dir():
            return root / folder
    return folder
