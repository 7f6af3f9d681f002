"""The options of the verbs. Nothing heavy is imported here, so that help is there at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from eomtlib.commands.options.finished import compare, evaluate, export, predict
from eomtlib.commands.options.shared import add_study, as_described, option
from eomtlib.core.words import (
    CORNERS,
    DATASET_TASKS,
    EXPORTS,
    SHIPPED,
    SIZES,
    SPLITS,
    TIMING_MODES,
)

_Parser = argparse.ArgumentParser


def fit(parser: _Parser) -> None:
    """Train and evaluate rungs; under torchrun or srun, a process for each device, together.

    Examples:
      eomtlib fit
      eomtlib fit --rungs vit-adapter-m2f,eomt --seeds 0,1,2 --duration 400steps
      eomtlib fit --size large --dataset coco --data-path ~/coco
      eomtlib fit --size base --dataset custom --data-path streets --duration 20epochs
    """
    add_study(parser)
    printed = parser.add_argument_group("the configuration")
    printed.add_argument(
        "--print-config",
        action="store_true",
        help="show what would be run, resolved and checked, as such a file, only",
    )
    printed.add_argument("--raw", action="store_true", help="with --print-config: what was given")
    parser.add_argument(
        "--no-wait",
        dest="wait",
        action="store_false",
        default=argparse.SUPPRESS,
        help="end with a message where other processes are at a run, once the rest is done",
    )


def book(parser: _Parser) -> None:
    """Execute all notebooks, one after the other; what is finished is kept and found again.

    Examples:
      eomtlib book
      eomtlib book --only ablation,speed --seeds 0,1,2
      eomtlib book --gallery results/gallery
      eomtlib book --figures README.md
    """
    option(parser, "--seeds", "NUMBERS", "of those that train, e.g. 0,1,2; default: 0", default="")
    option(parser, "--only", "NAMES", "some of them, e.g. ablation,speed", default="")
    as_described(parser, "device", "results_dir")
    option(parser, "--notebooks", "FOLDER", "of their sources", default="notebooks")
    said = "with more questions and seeds; this folder gets a copy of all but the weights"
    option(parser, "--gallery", "FOLDER", said, default="")
    said = "only write the figures that this text quotes, from results/gallery"
    option(parser, "--figures", "FILE", said, default="")
    parser.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter for all notebooks that have it, e.g. -p duration 4",
    )


def benchmark(parser: _Parser) -> None:
    """Time every rung at every size on this machine, beside the papers' figures.

    Examples:
      eomtlib benchmark
      eomtlib benchmark --sizes large --modes eager,compiled --device cuda
    """
    option(parser, "--sizes", "NAMES", "the papers' on a GPU, nano on a CPU", default="")
    option(
        parser,
        "--pretrainings",
        "NAMES",
        "architectures of the encoder; also timm:NAME",
        default="dinov2",
    )
    option(parser, "--modes", "NAMES", f"of {', '.join(TIMING_MODES)}", default="")
    option(parser, "--image-size", "PIXELS", "640; our own sizes: 64", type=int, default=0)
    as_described(parser, "rungs", "samplers", "device", "precision", "results_dir")


def check_data(parser: _Parser) -> None:
    """Read all files of a data set; name what is wrong with any, and say what is in them.

    Examples:
      eomtlib check-data --dataset custom --data-path streets
      eomtlib check-data --dataset coco --data-path ~/coco --split val --sheet sheet.png
    """
    option(parser, "--dataset", "NAME", f"of {', '.join(DATASET_TASKS)}", required=True)
    as_described(parser, "data_path", "train_data", "val_data", "task", "exif")
    option(parser, "--split", "NAME", f"of {', '.join(SPLITS)}; by default both", default="")
    option(parser, "--workers", "N", "processes; -1 for cores - 1", type=int, default=-1)
    about = "a PNG of some of the images with masks and names over them"
    option(parser, "--sheet", "FILE", about, default="")


def convert(parser: _Parser) -> None:
    """Make of an annotation tool's export a data set that --dataset custom reads.

    Examples:
      eomtlib convert roboflow-export --output streets
      eomtlib convert yolo-export --output streets --format yolo --val-share 0.1
    """
    parser.add_argument("source", help="the folder of the export, unpacked")
    option(parser, "--output", "FOLDER", "a new one; images are linked into it", required=True)
    option(parser, "--format", "NAME", f"of {', '.join(EXPORTS)}", default="auto")
    option(
        parser,
        "--val-share",
        "SHARE",
        "of the training images, for the val split where the export has none; 0 for none",
        type=float,
    )
    option(
        parser,
        "--corners",
        "NAME",
        f"of {', '.join(CORNERS)}: outlines along the edges of pixels, or through the centres "
        "of the outermost, as OpenCV finds them and Supervision writes them",
        default=CORNERS[0],
    )
    as_described(parser, "exif", "on_bad")


def look(parser: _Parser) -> None:
    """See runs of `make ablation` where they stand after three minutes; it goes on with them.

    Examples:
      eomtlib look
      eomtlib look --minutes 6 --rungs all
    """
    option(
        parser,
        "--minutes",
        "X",
        "until all is done, report included; default: 3",
        type=float,
        default=3.0,
    )
    as_described(parser, "rungs", rungs="vit-adapter-m2f,no-pixel-decoder,eomt")
    as_described(parser, "results_dir")


def pretrain(parser: _Parser) -> None:
    """Pretrain an encoder on images without labels, such as your own.

    Examples:
      eomtlib pretrain
      eomtlib pretrain --size micro --images photos --image-size 96 --steps 5000
      eomtlib pretrain --num-images 0 --probe-every 1000
      eomtlib pretrain --size micro --teacher nano --num-images 0
    """
    option(parser, "--size", "NAME", f"of {', '.join(SIZES)}; default: nano", default="nano")
    option(
        parser,
        "--images",
        "FOLDER",
        "of JPEGs and PNGs, or shapes; default: shapes",
        default="shapes",
    )
    option(parser, "--image-size", "PIXELS", "64, or 64x96 for height x width", default="")
    option(parser, "--num-images", "N", "how many of shapes are drawn; 0: no end", type=int)
    option(parser, "--steps", "N", "how long; by default what suits it", type=int)
    option(parser, "--batch-size", "N", "images a step", type=int)
    option(parser, "--lr", "X", "peak learning rate", type=float)
    option(parser, "--mask-ratio", "SHARE", "hidden patches, without --teacher", type=float)
    about = f"size of a {SHIPPED} of equal patches whose features are learned, not hidden pixels"
    option(parser, "--teacher", "SIZE", about, default="")
    option(parser, "--seed", "N", "default: 0", type=int, default=0)
    about = "steps between two linear probes on shapes, which the record holds; default: none"
    option(parser, "--probe-every", "N", about, type=int, default=0)
    about = f"makes it the {SHIPPED} of this working tree; its record goes to results/encoders"
    parser.add_argument("--ship", action="store_true", help=about)
    option(parser, "--workers", "N", "processes that load images; default: 0", type=int, default=0)
    as_described(parser, "device", "precision", "results_dir")


def report(parser: _Parser) -> None:
    """Write one HTML page of a results folder: answer, table, plots, images, configuration.

    Examples:
      eomtlib report
      eomtlib report --results-dir results/runs --output report.html --num-images 8
    """
    option(
        parser,
        "--output",
        "FILE",
        "the page; an older one is replaced; default: report.html",
        default="report.html",
    )
    option(parser, "--study", "NAME", "of several; by default the newest", default="")
    option(
        parser,
        "--num-images",
        "N",
        "validation images to show; default: 4",
        type=int,
        default=4,
    )
    as_described(parser, "results_dir", "data_path", "val_data", "device")


def runs(parser: _Parser) -> None:
    """List the runs of a results folder; say why one is found or not; delete some.

    Examples:
      eomtlib runs
      eomtlib runs --explain --size large --dataset coco --data-path ~/coco
      eomtlib runs --delete eomt-nano-shapes-ssl-shapes-seed0-1a2b3c4d
    """
    parser.add_argument(
        "--explain",
        action="store_true",
        help="of the runs that fit would do with the same options: what is found of each, and in "
        "what the nearest one differs",
    )
    option(parser, "--delete", "NAME", "runs by name: weights, curves and records", nargs="+")
    add_study(parser)


VERBS: dict[str, Callable[[_Parser], None]] = {
    "benchmark": benchmark,
    "book": book,
    "check-data": check_data,
    "compare": compare,
    "convert": convert,
    "evaluate": evaluate,
    "export": export,
    "fit": fit,
    "look": look,
    "predict": predict,
    "pretrain": pretrain,
    "report": report,
    "runs": runs,
}
"""Verb → what adds its options, whose docstring is its help. Its module has a function ``run``,
which may return an exit status."""
