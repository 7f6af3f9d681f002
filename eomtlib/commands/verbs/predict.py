"""``predict``: segmentations of somebody's own images."""

from __future__ import annotations

import argparse
import json
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eomtlib.commands.checkpoint import find_model, open_checkpoint, task_of
from eomtlib.core.console import complain, deliver, progress, show
from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.core.files.atomic_files import config_hash, write_file
from eomtlib.core.files.holding import held
from eomtlib.core.machine.precision import resolve_device
from eomtlib.core.structures import ClassInfo
from eomtlib.data.class_colors import colored
from eomtlib.data.decoding.image_files import image_files, image_pixels
from eomtlib.data.formats.class_files import class_entries, read_classes
from eomtlib.data.formats.image_lists import read_image_ids
from eomtlib.evaluation.official_files import ResultFiles, ResultImage, save_png, told_apart
from eomtlib.inference.segmenter import Segmenter
from eomtlib.inference.tasks import get_task
from eomtlib.models.checkpoints import ModelConfig
from eomtlib.report.pages.image_index import IndexedImage, write_index
from eomtlib.report.plots.images.named_overlays import Segments, draw_legend, named_overlay


def run(chosen: argparse.Namespace) -> int:
    """Segments, and says where the results are, or what an interruption left of them.

    Returns:
        The exit status: 1 where files could not be read.
    """
    if not 0 <= chosen.opacity <= 1:
        raise ConfigurationError(f"opacity={chosen.opacity} must lie between 0 and 1.")
    find_model(chosen)
    paths = _by_name(chosen.images, image_files(chosen.images, subfolders=chosen.recursive))
    ids = _ids(paths, Path(chosen.image_info).expanduser()) if chosen.image_info else {}
    output = Path(chosen.output).expanduser()
    folder = _partial(output, resume=chosen.resume)
    device = resolve_device(chosen.device)
    model, config = open_checkpoint(chosen)
    name = task_of(chosen, config)
    listed = chosen.classes or chosen.image_info
    classes = colored(
        _classes_of_file(Path(listed).expanduser(), len(config.class_names))
        if listed
        else _classes(config, task=name)
    )
    options = get_task(name).class_options(classes)
    if chosen.threshold is not None:
        options["threshold"] = chosen.threshold
    digest = _digest(model)
    segmenter = Segmenter(
        model,
        task=name,
        device=device,
        precision=chosen.precision,
        mode="compiled" if chosen.compile else "eager",
        **options,
    )
    notices: list[str] = []
    lock = folder.with_name(f"{folder.name}.lock")
    with held(lock, name=str(folder), say=notices.append, wait=False) as is_ours:
        if not is_ours:
            raise ConfigurationError(notices[0])
        results = ResultFiles(folder / "segments", task=name, classes=classes, in_colors=True)
        asked = {"model": digest, "image_size": config.image_size, "task": name}
        asked |= {"classes": [vars(info) for info in classes], "threshold": chosen.threshold}
        asked |= {"ids": config_hash(ids), "opacity": chosen.opacity}
        asked |= {"side_by_side": chosen.side_by_side}
        _same_as_before(folder, asked)
        for unfinished in folder.rglob(".*.tmp"):  # of a process that was killed
            unfinished.unlink()
        try:
            draw = partial(named_overlay, opacity=chosen.opacity, side_by_side=chosen.side_by_side)
            unreadable = _segment_all(segmenter, paths, results, folder / "overlays", ids, draw)
            results.finish(as_list=bool(ids))
            _say_what_was_found(folder, results, opacity=chosen.opacity)
            if unreadable:
                # Names that are no UTF-8 as they are.
                lines = "".join(f"{line}\n" for line in unreadable)
                write_file(folder / "skipped.txt", lines.encode(errors="surrogateescape"))
            folder.rename(output)
            (output / results.journal.relative_to(folder)).unlink(missing_ok=True)
        except BaseException:
            done = f"{len(results.done)} of {len(paths)} images"
            complain(f"Left: {folder} ({done}); --resume goes on in it.")
            raise
    show(f"Written: {output} ({len(results.done)} images)")
    show(f"To look at: {output / 'index.html'}")
    for line in unreadable:
        complain(f"Skipped: {line}")
    skipped = [line.encode(errors="backslashreplace").decode() for line in unreadable]
    deliver({"written": output, "images": len(results.done), "skipped": skipped})
    return int(bool(unreadable))


def _segment_all(
    segmenter: Segmenter,
    paths: Mapping[str, Path],
    results: ResultFiles,
    overlays: Path,
    ids: Mapping[str, int | str],
    draw: Callable[[np.ndarray, Segments], np.ndarray],
) -> list[str]:
    """Adds each image that is not there yet, under its id or, without one, its number.

    Args:
        segmenter: of the model.
        paths: of all images, by name.
        results: are added to.
        overlays: the folder of the pictures.
        ids: of images, by name.
        draw: an image and its segments → its picture.

    Returns:
        What was wrong with those that cannot be read, a line each.
    """
    paint = get_task(segmenter.task).paint
    stems = told_apart(paths, results.done)
    waiting = [file_name for file_name in paths if file_name not in results.done]
    unreadable = []
    for file_name in progress(waiting, "segmenting", unit="images"):
        try:
            pixels = image_pixels(paths[file_name], upright=True)
        except DataError as error:
            unreadable.append(str(error))
            continue
        views = segmenter.views(torch.from_numpy(pixels).permute(2, 0, 1))
        (segmented,) = segmenter.segment_views(views, [pixels.shape[:2]])
        painted = paint(segmented)
        segments = Segments(
            painted.ids.cpu().numpy(), painted.labels, results.classes, painted.scores
        )
        stem = stems[file_name]
        save_png(draw(pixels, segments), overlays / f"{stem}.png", level=1)
        # Last, as what was added is not done again.
        image = ResultImage(ids.get(file_name, len(results.done)), file_name, stem)
        results.add(segmented, image, found=painted.labels)
    return unreadable


def _say_what_was_found(folder: Path, results: ResultFiles, *, opacity: float) -> None:
    """Writes what helps to read the pictures, and a page to find some among many."""
    images = [
        IndexedImage(image.file_name, f"overlays/{image.stem}.png", found)
        for image, found in results.found()
    ]
    write_index(folder, images, results.classes)
    found = {place for image in images for place in image.classes}
    save_png(draw_legend(results.classes, found, opacity=opacity), folder / "legend.png")
    listed = json.dumps(class_entries(results.classes), indent=1)
    write_file(folder / "segments" / "classes.json", f"{listed}\n")


def _by_name(named: Sequence[str], paths: Sequence[Path]) -> dict[str, Path]:
    """Each file once, by its path below the folder that holds all that is named."""
    folders = [
        path if path.is_dir() else path.parent for path in (Path(n).expanduser() for n in named)
    ]
    common = os.path.commonpath([os.path.abspath(folder) for folder in folders])
    return {Path(os.path.relpath(path, common)).as_posix(): path for path in paths}


def _ids(paths: Mapping[str, Path], info: Path) -> dict[str, int | str]:
    """The id that a list gives each file, by its name with its folders or without.

    Raises:
        ConfigurationError: when a file is not in the list, or two are called the same there.
    """
    known = read_image_ids(info)
    found = {name: name if name in known else Path(name).name for name in paths}
    missing = [name for name, own in found.items() if own not in known]
    if missing:
        raise ConfigurationError(
            f"image_info: {info} lists no {missing[0]} ({len(missing)} such file(s)); name the "
            "list of these images."
        )
    if len(set(found.values())) < len(found):
        raise ConfigurationError(
            f"image_info: of the images two files stand for one that {info} lists, which names no "
            "folders; give the images of one folder."
        )
    return {name: known[own] for name, own in found.items()}


def _partial(output: Path, *, resume: bool) -> Path:
    """Where results are until all are there.

    Raises:
        ConfigurationError: when they are there, or some are and nobody asked to go on.
    """
    partial = output.with_name(f"{output.name}.partial")
    if output.exists():
        raise ConfigurationError(f"output={str(output)!r} exists already; choose a new folder.")
    if partial.exists() and not resume:
        raise ConfigurationError(
            f"{str(partial)!r} was left by an interruption; --resume goes on in it. Remove it to "
            "begin anew."
        )
    return partial


def _same_as_before(partial: Path, asked: Mapping[str, Any]) -> None:
    """Notes what was asked for, and refuses to go on with anything else.

    Raises:
        ConfigurationError: naming what differs.
    """
    path, asked = partial / "options.json", json.loads(json.dumps(asked))
    before = json.loads(path.read_text("utf-8")) if path.exists() else asked
    for name, value in asked.items():
        if before.get(name, value) != value:
            raise ConfigurationError(
                f"{partial} was begun with another {name}; ask for the same, or for a new folder."
            )
    write_file(path, json.dumps(asked, indent=1))


def _digest(model: torch.nn.Module) -> int:
    """The CRC-32 of all weights."""
    digest = 0
    for tensor in model.state_dict().values():
        content = tensor.contiguous().flatten().view(torch.uint8)
        digest = zlib.crc32(content.numpy(), digest)
    return digest


def _classes_of_file(path: Path, count: int) -> list[ClassInfo]:
    classes = list(read_classes(path))
    if len(classes) != count:
        raise ConfigurationError(
            f"classes={str(path)!r} lists {len(classes)} classes, and the model predicts {count}; "
            "name the list that it was trained with."
        )
    return classes


def _classes(config: ModelConfig, *, task: str) -> Sequence[ClassInfo]:
    if config.is_thing is None and task == "panoptic":
        raise ConfigurationError(
            "checkpoint: does not say which classes are things, which a panoptic segmentation "
            "needs; name a file that does by classes, such as COCO's panoptic_val2017.json, or set "
            "task to 'instance' or 'semantic'."
        )
    return config.classes(config.is_thing or (True,) * len(config.class_names))
