"""Values as people hand them over (numbers, texts, lists), checked and in one form.

Papermill's command line knows no None: empty strings and 0 stand for "not given" where a parameter
has a default of its own.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.words import RUNGS, TIMM_PREFIX
from eomtlib.data.decoding.names import split_paths
from eomtlib.training.duration import parse_duration, parse_interval

Reader = Callable[[str, Any], Any]
"""The name of a parameter and a value that somebody gives it → the checked value. A value that was
read already is read as itself."""

LOGGERS = {"csv": "csv", "tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
"""Logger → the module that it needs."""

_SWITCH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def plain(value: Any) -> Any:
    """A value as Python writes it: of NumPy's scalars, arrays and texts what they hold.

    ``"None"`` and ``"null"``, as which papermill and YAML may hand it over, are None.
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    return None if value in ("None", "null") else value


def optional(read: Reader, *not_given: Any) -> Reader:
    """A reader of None, ``""`` and other values that stand for "not given" as None."""
    return otherwise(None, read, *not_given)


def otherwise(default: Any, read: Reader, *not_given: Any) -> Reader:
    """A reader that takes None, ``""`` and other values for "not given", a default."""

    def read_given(name: str, value: Any) -> Any:
        # False is no 0 here.
        is_given = isinstance(value, bool) or value not in (None, "", (), *not_given)
        return read(name, value) if is_given else default

    return read_given


def text_of(name: str, value: Any) -> str:
    """A text; numbers, dates and paths are written as they would be typed."""
    if isinstance(value, bool | tuple | dict):
        raise ConfigurationError(
            f"{name}={value!r} is no text; put it in quotes, as YAML reads on, off, yes, no "
            "and lists otherwise."
        )
    return str(value or "")


def one_of(choices: Iterable[str]) -> Reader:
    """A reader of one of some names."""
    return lambda name, value: check_choice(name, value, choices)


def pretraining_among(choices: Iterable[str]) -> Reader:
    """A reader of one of some pretrainings, or of a name of timm's, which is looked up later."""

    def read(name: str, value: Any) -> str:
        if isinstance(value, str) and value.strip().startswith(TIMM_PREFIX):
            return value.strip()
        return check_choice(name, value, (*choices, f"{TIMM_PREFIX}NAME"))

    return read


def some_of(choices: Iterable[str]) -> Reader:
    """A reader of a list of names; see ``as_list``."""
    return lambda name, value: as_list(name, value, choices)


def whole_from(at_least: int) -> Reader:
    """A reader of whole numbers; see ``whole``."""
    return lambda name, value: whole(name, value, at_least=at_least)


def as_list(parameter: str, value: str | Sequence[str], choices: Iterable[str]) -> tuple[str, ...]:
    """A list, or a comma-separated string (as papermill's command line hands it over), checked."""
    return read_list(parameter, value, one_of(choices))


def read_list(parameter: str, value: str | Sequence[str], read: Reader) -> tuple[str, ...]:
    """As ``as_list``, each name as ``read`` takes it."""
    names = tuple(read(parameter, str(item).strip()) for item in _items(value) if str(item).strip())
    if len(set(names)) != len(names):
        raise ConfigurationError(f"{parameter}={value!r} names something twice.")
    return names


def _items(value: Any) -> Sequence[Any]:
    """What is in a list, or in its text; of anything else that alone."""
    if isinstance(value, str):
        return value.split(",")
    return value if isinstance(value, Sequence) else [value]


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
    numbers = tuple(whole(name, item, at_least=at_least) for item in _items(value))
    if not numbers or len(set(numbers)) < len(numbers):
        raise ConfigurationError(f"{name}={value!r} must hold whole numbers, each once.")
    return numbers


def parse_seeds(value: str | int | Sequence[int]) -> tuple[int, ...]:
    """``3``, ``"0,1,2"`` or a sequence → seeds; see ``parse_numbers``."""
    return parse_numbers("seeds", value, at_least=0)


def parse_image_size(value: int | str | Sequence[int]) -> tuple[int, int]:
    """``640``, ``"480x640"`` (height x width) or a pair → (height, width)."""
    parts = value.lower().replace("×", "x").split("x") if isinstance(value, str) else _items(value)
    try:
        sides = tuple(whole("image_size", side, at_least=1) for side in parts)
        height, width = sides if len(sides) == 2 else (*sides, *sides)
    except (ConfigurationError, ValueError):
        raise ConfigurationError(
            f"image_size={value!r} is no size; write 640, or '480x640' for height x width."
        ) from None
    return height, width


def switch(name: str, value: bool | str) -> bool:
    """``yes``, ``no`` and their kin."""
    return _SWITCH[check_choice(name, str(value).lower(), _SWITCH)]


def whole(name: str, value: object, *, at_least: int) -> int:
    """A whole number, however it is written."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if isinstance(value, bool) or number is None or number != float(value) or number < at_least:
        raise ConfigurationError(f"{name}={value!r} must be a whole number of at least {at_least}.")
    return number


def number(name: str, value: object) -> float:
    """A finite number, however it is written."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ConfigurationError(f"{name}={value!r} must be a number.")
    return found


def read_duration(name: str, value: str | float) -> str:
    """A duration in its usual spelling; see ``parse_duration``."""
    return str(parse_duration(value, parameter=name))


def read_pause(name: str, value: str | float) -> str:
    """A duration, or ``auto``."""
    return value if value == "auto" else read_duration(name, value)


def read_frozen(name: str, value: str | int) -> str:
    """``encoder``, ``none``, or a number of blocks, of which 0 is ``none``."""
    if value in ("encoder", "none"):
        return value
    try:
        count = whole(name, value, at_least=0)
        return str(count) if count else "none"
    except ConfigurationError:
        raise ConfigurationError(
            f"{name}={value!r} must be 'encoder', 'none', or a number of the encoder's blocks."
        ) from None


def read_interval(name: str, value: str | float) -> str:
    """What ``parse_interval`` reads, in its usual spelling."""
    found = parse_interval(value, parameter=name)
    return f"{100 * found:.10g}%" if isinstance(found, float) else str(found)


def read_path(name: str, value: str | Path) -> Path:
    """A path, with ``~`` as the home folder.

    A relative one is the project's, where the project has it, as JupyterLab starts in notebooks/
    and papermill above; else the current folder's.
    """
    path = Path(text_of(name, value)).expanduser()
    return inside if (inside := _project() / path).exists() else path


def path_or(word: str) -> Reader:
    """A reader of paths, and of one word that is none."""
    return lambda name, value: word if value == word else read_path(name, value)


def read_split(name: str, value: str) -> str:
    """``IMAGES:ANNOTATIONS`` of one's own data, paths as of ``read_path``; or nothing."""
    if not (text := text_of(name, value)):
        return ""
    parts = split_paths(name, text)
    return os.pathsep.join(str(read_path(name, part)) for part in parts)


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
    """As ``read_path``, but that a relative folder need not be there yet."""
    return _project() / Path(text_of("results_dir", results_dir)).expanduser()


def _project() -> Path:
    """The project's folder where it is around, else an empty path."""
    for root in (Path.cwd(), *Path.cwd().parents):
        if (root / "results" / "paper").is_dir() and (root / "notebooks").is_dir():
            return root
    return Path()
