"""Parameters as people hand them over (numbers, strings, lists), checked and in one form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.precision import fastest_precision
from eomtlib.core.words import PRECISIONS
from eomtlib.models.ladder import LADDER


def as_list(parameter: str, value: str | tuple | list, choices: object) -> tuple[str, ...]:
    """A list, or a comma-separated string (as papermill's command line hands it over), checked."""
    items = value.split(",") if isinstance(value, str) else list(value)
    names = tuple(item.strip() for item in items if str(item).strip())
    for name in names:
        check_choice(parameter, name, choices)
    if len(set(names)) != len(names):
        raise ConfigurationError(f"{parameter}={value!r} names something twice.")
    return names


def parse_rungs(value: str | tuple | list) -> tuple[str, ...]:
    """The rungs to run, in the ladder's order; ``all`` for all seven."""
    if value == "all":
        return tuple(LADDER)
    chosen = as_list("rungs", value, LADDER)
    if not chosen:
        raise ConfigurationError(f"rungs is empty; use 'all' or some of: {', '.join(LADDER)}.")
    return tuple(rung for rung in LADDER if rung in chosen)


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


def parse_image_size(value: int | str | tuple[int, int] | list[int]) -> tuple[int, int]:
    """``640``, ``"640x480"`` (height x width) or a pair → (height, width)."""
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


def parse_taps(value: str | int | Sequence[int] | None) -> tuple[int, ...] | None:
    """Indices of blocks, as ``parse_numbers`` reads them; None where none are given."""
    return None if value in (None, "", ()) else parse_numbers("taps", value, at_least=0)


def switch(name: str, value: bool | str | None, *, default: bool | None) -> bool | None:
    """``yes``, ``no`` and their kin; the default where nothing is given."""
    if value is None or value == "":
        return default
    known = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    return known[check_choice(name, str(value).lower(), known)]


def whole(name: str, value: object, *, at_least: int) -> int:
    """A whole number, however it is written."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = None
    if number is None or number != float(value) or number < at_least:
        raise ConfigurationError(f"{name}={value!r} must be a whole number of at least {at_least}.")
    return number


def resolve_results_dir(results_dir: str | Path) -> Path:
    """A relative folder is the project's where one is around: JupyterLab starts in notebooks/."""
    path = Path(results_dir).expanduser()
    if path.is_absolute():
        return path
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "results" / "paper").is_dir() and (folder / "notebooks").is_dir():
            return folder / path
    return path


def resolve_device(device: str) -> str:
    """``auto`` → ``cuda`` where there is one, else ``cpu``; a name of either is checked.

    Raises:
        ConfigurationError: when the device does not exist on this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    check_choice("device", device.partition(":")[0], ("auto", "cpu", "cuda"))
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]}); "
            "set it to 'auto' or 'cpu'."
        ) from error
    return device


def resolve_precision(precision: str, kind: str) -> str:
    """``auto`` → what a kind of device, ``cpu`` or ``cuda``, trains in; a name is checked.

    Raises:
        ConfigurationError: for a precision that the device does not have.
    """
    check_choice("precision", precision, ("auto", *PRECISIONS))
    if precision == "float16" and kind == "cpu":
        raise ConfigurationError(
            "precision='float16' needs a GPU; on a CPU use 'float32' or 'bfloat16'."
        )
    if precision != "auto":
        return precision
    if kind == "cpu":
        return "float32"
    return fastest_precision("cuda")
