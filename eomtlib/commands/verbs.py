"""The options of every verb. Nothing heavy is imported here, so that help is there at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from eomtlib.core.words import CORNERS, DATASET_TASKS, EXPORTS, SIZES, TASKS, TIMING_MODES
from eomtlib.study.parameters import PARAMETERS
from eomtlib.training.hyperparameters import HYPERPARAMETERS

_Parser = argparse.ArgumentParser
_SPLITS = ("train", "val")


def fit(parser: _Parser) -> None:
    """Train and evaluate rungs; under torchrun or srun, a process for each device, together."""
    _add_study(parser)
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="show what would be run, resolved and checked, as such a file, only",
    )
    parser.add_argument("--raw", action="store_true", help="with --print-config: what was given")
    parser.add_argument(
        "--no-wait",
        dest="wait",
        action="store_false",
        default=argparse.SUPPRESS,
        help="end with a message where other processes are at a run, once the rest is done",
    )


def book(parser: _Parser) -> None:
    """Execute all notebooks, one after the other; what is finished is kept and found again."""
    parser.add_argument("--seeds", default="0", help="of those that train, e.g. 0,1,2")
    parser.add_argument("--only", default="", help="some of them, e.g. ablation,speed")
    _as_described(parser, "device", "results_dir")
    parser.add_argument("--notebooks", default="notebooks", help="folder of their sources")
    parser.add_argument(
        "--gallery", default="", help="a folder that gets a copy of all but the weights"
    )
    parser.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter for all notebooks that have it, e.g. -p duration 4",
    )


def benchmark(parser: _Parser) -> None:
    """Time every rung at every size on this machine, beside the papers' figures."""
    parser.add_argument("--sizes", default="", help="the papers' on a GPU, nano on a CPU")
    parser.add_argument(
        "--pretrainings", default="dinov2", help="architectures of the encoder; also timm:NAME"
    )
    parser.add_argument("--modes", default="", help=f"of {', '.join(TIMING_MODES)}")
    parser.add_argument("--image-size", type=int, default=0, help="640; our own sizes: 64")
    _as_described(parser, "rungs", "samplers", "device", "precision", "results_dir")


def check_data(parser: _Parser) -> None:
    """Read all files of a data set and name each that is missing, damaged or contradictory."""
    parser.add_argument("--dataset", required=True, help=f"of {', '.join(DATASET_TASKS)}")
    _as_described(parser, "data_path", "train_data", "val_data", "task", "exif")
    parser.add_argument("--split", default="", help=f"of {', '.join(_SPLITS)}; by default both")
    parser.add_argument("--workers", type=int, default=-1, help="processes; -1 for cores - 1")


def convert(parser: _Parser) -> None:
    """Make of an annotation tool's export a data set that --dataset custom reads."""
    parser.add_argument("source", help="the folder of the export, unpacked")
    parser.add_argument("--output", required=True, help="a new folder; images are linked into it")
    parser.add_argument("--format", default="auto", help=f"of {', '.join(EXPORTS)}")
    parser.add_argument(
        "--val-share",
        type=float,
        help="of the training images, for the val split where the export has none; 0 for none",
    )
    parser.add_argument(
        "--corners",
        default=CORNERS[0],
        help=f"of {', '.join(CORNERS)}: outlines along the edges of pixels, or through the centres "
        "of the outermost, as OpenCV finds them and Supervision writes them",
    )
    _as_described(parser, "exif", "on_bad")


def evaluate(parser: _Parser) -> None:
    """Evaluate a checkpoint; under torchrun or srun, every process takes a share of the images."""
    _add_checkpoint(parser)
    _as_described(parser, "dataset", "data_path", "train_data", "val_data", "exif", "on_bad")
    parser.add_argument("--split", default="val", help=" or ".join(_SPLITS))
    parser.add_argument("--val-images", type=int, default=0, help="how many images; 0: all")
    parser.add_argument("--batch-size", type=int, default=1, help="images at once, a process")
    parser.add_argument("--workers", type=int, default=None, help="processes that load images")
    parser.add_argument("--output", default="", help="a JSON file for all figures")
    parser.add_argument(
        "--export", default="", help="a new folder for predictions in the official tools' formats"
    )


def export(parser: _Parser) -> None:
    """Write a checkpoint as one file that PyTorch runs without this library."""
    _add_checkpoint(parser, runs_task=False)
    parser.add_argument("--output", required=True, help="a new file, such as model.pt2")
    parser.add_argument("--batch-size", type=int, default=1, help="images at a time, always")


def predict(parser: _Parser) -> None:
    """Segment images: an overlay of each, with names, and segments in the official formats."""
    _add_checkpoint(parser)
    parser.add_argument("--images", required=True, nargs="+", help="files and folders")
    parser.add_argument(
        "--output", required=True, help="a new folder; without --classes, class 0 is the first"
    )
    parser.add_argument(
        "--recursive", action="store_true", help="also images in subfolders; their names are kept"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on in OUTPUT.partial, which an interruption left; what is done is not done again",
    )
    parser.add_argument(
        "--classes",
        default="",
        help="names, things and ids of the model's classes, where the file lacks them: a "
        "classes.json, or an annotation file in COCO's format, such as panoptic_val2017.json",
    )
    parser.add_argument(
        "--image-info",
        default="",
        help="a list of the images in COCO's format, such as image_info_test-dev2017.json: "
        "results have its ids and, without --classes, its classes, as the official servers ask",
    )
    parser.add_argument("--threshold", type=float, help="of scores, for panoptic; 0.8 by default")
    parser.add_argument(
        "--opacity", type=float, default=0.42, help="of colours over the photo, 0 to 1"
    )
    parser.add_argument(
        "--side-by-side", action="store_true", help="overlays with the photo at their left"
    )
    parser.add_argument(
        "--compile", action="store_true", help="faster after the first image, which takes minutes"
    )


def pretrain(parser: _Parser) -> None:
    """Pretrain an encoder on images without labels, where no weights can be fetched."""
    parser.add_argument("--size", default="nano", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--images", default="shapes", help="shapes, or a folder of JPEGs and PNGs")
    parser.add_argument("--image-size", default="", help="64, or 64x96 for height x width")
    parser.add_argument("--num-images", type=int, help="how many of shapes are drawn")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--lr", type=float, help="peak learning rate")
    parser.add_argument("--mask-ratio", type=float, help="share of the patches that are hidden")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="processes that load images")
    _as_described(parser, "device", "precision", "results_dir")


def report(parser: _Parser) -> None:
    """Write one HTML page of a results folder: answer, table, plots, images, configuration."""
    parser.add_argument("--output", default="report.html", help="the page; an older one goes")
    parser.add_argument("--study", default="", help="of several, by name; the newest by default")
    parser.add_argument("--num-images", type=int, default=4, help="validation images to show")
    _as_described(parser, "results_dir", "data_path", "val_data", "device")


def runs(parser: _Parser) -> None:
    """List the runs of a results folder; say why one is found or not; delete some."""
    parser.add_argument(
        "--explain",
        action="store_true",
        help="of the runs that fit would do with the same options: what is found of each, and in "
        "what the nearest one differs",
    )
    parser.add_argument(
        "--delete", nargs="+", metavar="NAME", help="runs by name: weights, curves and records"
    )
    _add_study(parser)


VERBS: dict[str, Callable[[_Parser], None]] = {
    "benchmark": benchmark,
    "book": book,
    "check-data": check_data,
    "convert": convert,
    "evaluate": evaluate,
    "export": export,
    "fit": fit,
    "predict": predict,
    "pretrain": pretrain,
    "report": report,
    "runs": runs,
}
"""Verb → what adds its options, whose docstring is its help. Its module has a function ``run``,
which may return an exit status."""


def _add_study(parser: _Parser) -> None:
    """Adds an option for each parameter of a study, and one for a file of them."""
    parser.add_argument("--config", help="a YAML or JSON file of the parameters below")
    # It is there to train, and a notebook's True is a flag here.
    names = [name for name in PARAMETERS if name not in ("seed", "train", "wait")]
    for group in dict.fromkeys(PARAMETERS[name].group for name in names):
        own = [name for name in names if PARAMETERS[name].group == group]
        _as_described(parser.add_argument_group(group), *own, given_alone=True, rungs="eomt")
    options = parser.add_argument_group("hyper-parameters, by default the recipe's")
    for name, known in HYPERPARAMETERS.items():
        option = f"--{name.replace('_', '-')}"
        options.add_argument(
            option, default=argparse.SUPPRESS, metavar="VALUE", help=_literal(known.help)
        )


def _add_checkpoint(parser: _Parser, *, runs_task: bool = True) -> None:
    """Adds the options that say which model runs, and how; also for which task, if it runs one."""
    parser.add_argument(
        "--checkpoint", required=True, help="ours, the authors' or Hugging Face's: file or folder"
    )
    parser.add_argument("--weights", default="", help="of the encoder, where the file lacks it")
    parser.add_argument("--image-size", default="", help="640, or 480x640 for height x width")
    if runs_task:
        parser.add_argument(
            "--task", default="", help=f"of {', '.join(TASKS)}; what it was trained for by default"
        )
    _as_described(parser, "device", "precision")


def _as_described(
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
        shown = f"; default: {default}" if default not in ("", -1, 0) else ""
        options.add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS if given_alone else default,
            metavar="VALUE",
            help=_literal(parameter.help + shown),
        )


def _literal(said: str) -> str:
    """A help text in which argparse finds nothing to fill in."""
    return said.replace("%", "%%")
