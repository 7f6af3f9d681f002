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

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.words import MASKING_MODES, PRECISIONS, PRETRAININGS, SIZES, TASKS
from eomtlib.data.registry import DATASETS
from eomtlib.study.settings import resolve_settings

_PATHS = ("data_path", "weights", "checkpoint", "pretraining_images", "results_dir")
_OF_A_STUDY = {"rungs": "eomt", "seeds": "0", "results_dir": "results/runs", "jobs": 0}


_HELP = {
    "rungs": "comma-separated, or all (the notebooks' default)",
    "seeds": "comma-separated",
    "results_dir": "records, weights and curves; finished work is found there",
    "jobs": "trainings at once; 0 for as many as suit machine and models",
    "size": f"of {', '.join(SIZES)}",
    "pretraining": f"of auto, {', '.join(PRETRAININGS)}",
    "dataset": f"of {', '.join(DATASETS)}",
    "task": f"of {', '.join(TASKS)}; the data set's first by default",
    "data_path": "the data set's folder",
    "image_size": "640, or 480x640 for height x width",
    "duration": "300steps, 12epochs or 5min; a number is a number of steps",
    "batch_size": "in total, over all devices",
    "gradient_accumulation": "parts that a step is computed in",
    "num_queries": "of the model; the size's by default",
    "train_images": "of shapes",
    "val_images": "to evaluate on, 0 for all",
    "device": "auto, cpu, cuda or cuda:1",
    "precision": f"of auto, {', '.join(PRECISIONS)}",
    "compile": "yes or no; yes on a GPU by default",
    "activation_checkpointing": "yes or no: less memory, for a second forward pass",
    "weights": "a file or folder of encoder weights, for machines without network",
    "checkpoint": "a finished model to fine-tune",
    "pretraining_images": "a folder of images that mim learns from; the data set's by default",
    "pretraining_steps": "of mim",
    "masking": f"in training: {', '.join(MASKING_MODES)}; the rung's by default",
    "inference_masking": "masked or unmasked; as training ends by default",
    "query_blocks": "blocks that process queries (EoMT), or of the decoder (PMT)",
    "frozen_encoder": "yes or no (PMT)",
    "lateral_connections": "yes or no (PMT)",
    "taps": "blocks whose output the decoder gets, e.g. 2,3,4,5 (PMT)",
    "workers": "data loading processes of a training",
    "timing_modes": "of eager, cuda-graph, compiled, max-autotune, for the notebooks' timings",
    "samplers": "of deformable attention, pytorch, triton, for the notebooks' timings",
    "loggers": "of csv, tensorboard, mlflow, wandb",
    "checkpoint_every": "minutes or steps, e.g. 2min, 500steps",
}


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
            help=_HELP[name] + (f"; default: {default}" if default not in (None, "") else ""),
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
