"""The parameters of a study on the command line: the notebooks' names, from a file or one by one.

``--image-size 640`` is the notebooks' ``image_size = 640``; a file holds the same names, as YAML or
JSON, and options override it.
"""

from __future__ import annotations

import argparse
import ast
import inspect
from pathlib import Path
from typing import Any

import yaml

from eomtlib.errors import ConfigurationError, check_choice
from eomtlib.settings import resolve_settings

_PATHS = ("data_path", "weights", "checkpoint", "pretraining_images", "results_dir")
_OF_A_STUDY = {"rungs": "eomt", "seeds": "0", "results_dir": "results/runs", "jobs": 0}


def known_parameters() -> dict[str, Any]:
    """Name → default, of everything that a study can be told."""
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(resolve_settings).parameters.items()
        if name != "seed"
    }
    return _OF_A_STUDY | known


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Adds ``--config``, ``--print-config`` and an option for every parameter."""
    parser.add_argument("--config", help="a YAML or JSON file of the parameters below")
    parser.add_argument(
        "--print-config", action="store_true", help="show what would be run, as such a file, only"
    )
    for name, default in known_parameters().items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            default=argparse.SUPPRESS,
            metavar="VALUE",
            help="as in the notebooks" if default in (None, "") else f"default: {default}",
        )


def read_configuration(chosen: argparse.Namespace) -> dict[str, Any]:
    """All parameters: defaults, under those of the file, under those that were given one by one.

    Raises:
        ConfigurationError: when the file cannot be read, or names something else.
    """
    known = known_parameters()
    given = _read_file(Path(chosen.config).expanduser()) if chosen.config else {}
    for name in given:
        check_choice(f"{chosen.config}: parameter", name, known)
    options = {
        name: value if name in _PATHS else literal(value)
        for name, value in vars(chosen).items()
        if name in known
    }
    return known | given | options


def write_configuration(parameters: dict[str, Any]) -> str:
    """As YAML, which ``--config`` reads; without what was not said."""
    said = {name: value for name, value in parameters.items() if value not in (None, "")}
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True)


def literal(text: str) -> object:
    """A parameter as it would stand in a notebook: a number, True or False, else a text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, bool | int | float) else text


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"config={str(path)!r} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"config={str(path)!r} must hold names and values, such as 'size: large'."
        )
    for name, value in content.items():
        parts = value if isinstance(value, list) else [value]
        if not all(part is None or isinstance(part, str | int | float) for part in parts):
            raise ConfigurationError(
                f"config={str(path)!r}: {name} must be a number, a text, true, false, or a list "
                f"of these, and is {value!r}."
            )
    return content
