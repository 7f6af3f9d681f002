"""Options that verbs have in common, most of them parameters of a study.

Nothing heavy is imported here, so that help is there at once.
"""

from __future__ import annotations

import argparse
from typing import Any

from eomtlib.core.words import TASKS
from eomtlib.study.parameters.settings import GROUPS, PARAMETERS
from eomtlib.training.hyperparameters import HYPERPARAMETERS

_KINDS = {
    "N": "jobs num_queries pretraining_steps query_blocks early_stopping first_window",
    "NAMES": "rungs loggers timing_modes samplers",
    "NUMBERS": "seeds taps class_weights annealing_start annealing_end warmup scale",
    "FOLDER": "results_dir data_path pretraining_images",
    "PATH": "weights checkpoint",
    "IMAGES:ANNOTATIONS": "train_data val_data",
    "PIXELS": "image_size",
    "LENGTH": "duration checkpoint_every validate_every",
    "NAME=VALUE": "vary overrides",
    "yes|no": "compile activation_checkpointing lateral_connections",
    "encoder|none|N": "freeze",
    "apply|ignore": "exif",
    "refuse|skip": "on_bad",
}
"""What stands for a value in help → parameters whose default does not tell it."""
_KIND_OF_TYPE = {bool: "yes|no", int: "N", float: "X"}

NANO = {
    "image_size": "64",
    "duration": "700steps",
    "batch_size": "8",
    "train_images": "2000",
    "val_images": "200",
}
"""What the size decides, of parameters that have no default of their own: of nano on a CPU."""


def add_manner(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how a verb speaks, which all have."""
    options = parser.add_argument_group("what is printed")
    options.add_argument("--quiet", action="store_true", help="results and errors only")
    options.add_argument(
        "--json",
        action="store_true",
        help="the outcome as one JSON object on stdout; all else goes to stderr",
    )


def add_study(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each parameter of a study, and one for a file of them."""
    parser.usage = "%(prog)s [options]"  # there are too many to be told in a line
    option(parser, "--config", "FILE", "of the parameters below, in YAML or JSON")
    # It is there to train, and a notebook's True is a flag here.
    names = [name for name in PARAMETERS if name not in ("seed", "train", "wait")]
    for group in GROUPS:
        own = [name for name in names if PARAMETERS[name].group == group]
        as_described(parser.add_argument_group(group), *own, given_alone=True, rungs="eomt")
    for part in dict.fromkeys(known.part for known in HYPERPARAMETERS.values()):
        options = parser.add_argument_group(
            f"hyper-parameters: {part or 'the run'}",
            "by default the recipe's; in brackets EoMT's with DINOv2 on COCO",
        )
        for name, known in HYPERPARAMETERS.items():
            if known.part == part:
                option(
                    options,
                    f"--{name.replace('_', '-')}",
                    _kind(name, known.default),
                    f"{known.help} [{_typed(known.default)}]",
                    default=argparse.SUPPRESS,
                )


def add_checkpoint(parser: argparse.ArgumentParser, *, runs_task: bool = True) -> None:
    """Adds the options that say which model runs, and how; also for which task, if it runs one."""
    model = parser.add_argument_group("the model")
    option(
        model,
        "--checkpoint",
        "PATH",
        "a run's name, as `eomtlib runs` lists it, or the beginning of one; a results folder, for "
        "its newest run; or a file or folder: ours, the authors' or Hugging Face's",
        required=True,
    )
    as_described(model, "results_dir")
    option(model, "--weights", "PATH", "of the encoder, where the file lacks it", default="")
    add_inference(parser, model, runs_task=runs_task)


def add_inference(
    parser: argparse.ArgumentParser,
    model: argparse._ActionsContainer | None = None,
    *,
    runs_task: bool = True,
) -> None:
    """Adds the options that say how a model runs, to its group if it has one."""
    model = model or parser.add_argument_group("the model")
    option(
        model,
        "--image-size",
        "PIXELS",
        "of the input: 640, or 480x640 for height x width; by default the model's own",
        default="",
    )
    if runs_task:
        option(
            model,
            "--task",
            "NAME",
            f"of {', '.join(TASKS)}; by default what it was trained for",
            default="",
        )
    as_described(parser.add_argument_group("the machine"), "device", "precision")


def as_described(
    options: argparse._ActionsContainer, *names: str, given_alone: bool = False, **defaults: str
) -> None:
    """Adds options of ``PARAMETERS``.

    Args:
        options: a parser, or a group of one.
        names: of the parameters.
        given_alone: whether the outcome has only those that are given.
        defaults: where they are not the parameter's own.
    """
    for name in names:
        parameter = PARAMETERS[name]
        default = defaults.get(name, parameter.default)
        shown = default if default not in ("", -1, 0) else ""
        if not shown and given_alone and name in NANO:
            shown = f"{NANO[name]} (nano, CPU)"
        option(
            options,
            f"--{name.replace('_', '-')}",
            _kind(name, parameter.default),
            parameter.help + (f"; default: {shown}" if shown else ""),
            default=argparse.SUPPRESS if given_alone else default,
        )


def option(
    options: argparse._ActionsContainer, name: str, value: str, said: str, **more: Any
) -> None:
    """Adds an option that has a value, and a help text in which argparse finds nothing to fill."""
    options.add_argument(name, metavar=value, help=said.replace("%", "%%"), **more)


def _kind(name: str, default: object) -> str:
    """What stands for the value of a parameter."""
    said = next((kind for kind, names in _KINDS.items() if name in names.split()), "")
    return said or _KIND_OF_TYPE.get(type(default), "NAME")


def _typed(default: object) -> str:
    """A hyper-parameter's default as it would be given."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, tuple):
        return ",".join(map(str, default)) or "empty"
    return "0" if default is None else str(default)
