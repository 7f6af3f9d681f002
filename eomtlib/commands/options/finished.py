"""The options of verbs that take a finished model."""

from __future__ import annotations

import argparse

from eomtlib.commands.options.shared import add_checkpoint, add_inference, as_described, option
from eomtlib.core.words import SPLITS

_Parser = argparse.ArgumentParser


def compare(parser: _Parser) -> None:
    """Say whether two models differ on the same images, and where; by drawing images anew.

    Examples:
      eomtlib compare eomt-nano vit-adapter-m2f-nano
      eomtlib compare theirs/panoptic.json results/runs/NAME --dataset coco --data-path ~/coco
      eomtlib compare results/runs/NAME results/runs/OTHER --figures differences --worst 20
    """
    said = "a run's name or folder, a checkpoint, or predictions in the official tools' formats"
    parser.add_argument("a", metavar="A", help=said)
    parser.add_argument("b", metavar="B", help="likewise, by the same task")
    as_described(parser, "results_dir")
    add_inference(parser)
    _add_validation(parser)
    option(
        parser,
        "--resamples",
        "N",
        "how often images are drawn; default: 2000",
        type=int,
        default=2000,
    )
    option(parser, "--worst", "N", "how many images to name; default: 10", type=int, default=10)
    written = parser.add_argument_group("what is written")
    option(written, "--output", "FILE", "for all figures, in JSON", default="")
    option(written, "--figures", "FOLDER", "a new one, for pictures of these images", default="")


def evaluate(parser: _Parser) -> None:
    """Evaluate a checkpoint; under torchrun or srun, every process takes a share of the images.

    Examples:
      eomtlib evaluate --checkpoint NAME
      eomtlib evaluate --checkpoint NAME --dataset coco --data-path ~/coco
      eomtlib evaluate --checkpoint NAME --json > figures.json
    """
    add_checkpoint(parser)
    _add_validation(parser)
    measured = parser.add_argument_group("what is measured")
    measured.add_argument(
        "--boundary", action="store_true", help="panoptic: also PQ by the boundaries of masks"
    )
    option(
        measured,
        "--max-dets",
        "N",
        "instance: detections of a class that count in an image; default: 100",
        type=int,
        default=0,
    )
    written = parser.add_argument_group("what is written")
    option(written, "--output", "FILE", "for all figures, in JSON", default="")
    option(written, "--figures", "FOLDER", "for the confusion and the worst images", default="")
    option(
        written,
        "--export",
        "FOLDER",
        "a new one, for predictions in the official tools' formats",
        default="",
    )


def export(parser: _Parser) -> None:
    """Write a checkpoint as one file that PyTorch runs without this library.

    Examples:
      eomtlib export --checkpoint NAME --output model.pt2
    """
    add_checkpoint(parser, runs_task=False)
    option(parser, "--output", "FILE", "a new one, such as model.pt2", required=True)
    option(parser, "--batch-size", "N", "images at a time, always; default: 1", type=int, default=1)


def predict(parser: _Parser) -> None:
    """Segment images: an overlay of each, with names, and segments in the official formats.

    Examples:
      eomtlib predict --checkpoint NAME --images photos --output segmented
      eomtlib predict --checkpoint eomt.bin --images a.jpg b.jpg --output segmented --threshold 0.5
    """
    add_checkpoint(parser)
    images = parser.add_argument_group("images")
    option(images, "--images", "PATH", "files and folders", required=True, nargs="+")
    images.add_argument(
        "--recursive", action="store_true", help="also images in subfolders; their names are kept"
    )
    option(
        images,
        "--image-info",
        "FILE",
        "a list of the images in COCO's format, such as image_info_test-dev2017.json: "
        "results have its ids and, without --classes, its classes, as the official servers ask",
        default="",
    )
    written = parser.add_argument_group("what is written")
    option(
        written,
        "--output",
        "FOLDER",
        "a new one; without --classes, class 0 is the first",
        required=True,
    )
    written.add_argument(
        "--resume",
        action="store_true",
        help="go on in OUTPUT.partial, which an interruption left; what is done is not done again",
    )
    option(
        written,
        "--classes",
        "FILE",
        "names, things and ids of the model's classes, where the checkpoint lacks them: a "
        "classes.json, or an annotation file in COCO's format, such as panoptic_val2017.json",
        default="",
    )
    option(written, "--threshold", "SCORE", "for panoptic; default: 0.8", type=float)
    about = "of colours over the photo, 0 to 1; default: 0.42"
    option(written, "--opacity", "SHARE", about, type=float, default=0.42)
    written.add_argument(
        "--side-by-side", action="store_true", help="overlays with the photo at their left"
    )
    parser.add_argument(
        "--compile", action="store_true", help="faster after the first image, which takes minutes"
    )


def _add_validation(parser: _Parser) -> None:
    """Adds the options that say which images a model is judged on."""
    data = parser.add_argument_group("data")
    as_described(data, "dataset", "data_path", "train_data", "val_data", "exif", "on_bad")
    option(data, "--split", "NAME", f"{' or '.join(SPLITS)}; default: val", default="val")
    option(data, "--val-images", "N", "how many images; 0: all", type=int, default=0)
    option(data, "--batch-size", "N", "images at once, a process; default: 1", type=int, default=1)
    option(data, "--workers", "N", "processes that load images", type=int)
