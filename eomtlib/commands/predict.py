"""``predict``: segmentations of somebody's own images."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from tqdm.auto import tqdm

from eomtlib.commands.checkpoint import open_checkpoint, task_of
from eomtlib.core.atomic_files import new_folder
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.precision import resolve_device
from eomtlib.core.structures import ClassInfo
from eomtlib.data.decoding.image_files import image_files, image_pixels
from eomtlib.data.formats.class_files import read_classes
from eomtlib.evaluation.official_files import exporting
from eomtlib.inference.segmenter import Segmenter
from eomtlib.inference.tasks import get_task
from eomtlib.report.plots import overlay


def run(chosen: argparse.Namespace) -> None:
    """Segments, and says where the results are."""
    paths = image_files(chosen.images)
    names = _told_apart(paths)
    output = Path(chosen.output).expanduser()
    if output.exists():
        raise ConfigurationError(f"output={str(output)!r} exists already; choose a new folder.")
    device = resolve_device(chosen.device)
    model, config = open_checkpoint(chosen)
    name = task_of(chosen, config)
    classes = (
        _classes_of_file(Path(chosen.classes).expanduser(), len(config.class_names))
        if chosen.classes
        else _classes(config.class_names, config.is_thing, task=name)
    )
    task = get_task(name)
    options = task.class_options(classes)
    if chosen.threshold is not None:
        options["threshold"] = chosen.threshold
    segment = Segmenter(
        model,
        task=name,
        device=device,
        precision=chosen.precision,
        mode="compiled" if chosen.compile else "eager",
        **options,
    )
    with new_folder(output) as folder:
        (folder / "overlays").mkdir()
        segments = folder / "segments"
        with exporting(segments, task=name, classes=classes, name_of=names.__getitem__) as export:
            for number, path in enumerate(tqdm(paths, desc="segmenting", unit="image")):
                pixels = image_pixels(path, upright=True)
                segmented = segment(pixels)
                export(segmented, number)
                painted = task.paint(segmented)
                over = overlay(
                    pixels, painted.ids.cpu().numpy(), painted.labels, num_classes=len(classes)
                )
                Image.fromarray(over).save(folder / "overlays" / f"{names[number]}.png")
    print(f"Written: {output} ({len(paths)} images)")


def _told_apart(paths: list[Path]) -> list[str]:
    """A name for each file, with a number where others have had it."""
    names: dict[str, None] = {}  # in order
    for path in paths:
        name, number = path.stem, 1
        while name in names:
            name, number = f"{path.stem}-{number}", number + 1
        names[name] = None
    return list(names)


def _classes_of_file(path: Path, count: int) -> list[ClassInfo]:
    classes = list(read_classes(path))
    if len(classes) != count:
        raise ConfigurationError(
            f"classes={str(path)!r} lists {len(classes)} classes, and the model predicts {count}; "
            "name the list that it was trained with."
        )
    return classes


def _classes(
    names: tuple[str, ...], is_thing: tuple[bool, ...] | None, *, task: str
) -> list[ClassInfo]:
    if is_thing is None and task == "panoptic":
        raise ConfigurationError(
            "checkpoint: does not say which classes are things, which a panoptic segmentation "
            "needs; name a file that does by classes, such as COCO's panoptic_val2017.json, or set "
            "task to 'instance' or 'semantic'."
        )
    things = is_thing or (True,) * len(names)
    return [
        ClassInfo(name, thing, number)
        for number, (name, thing) in enumerate(zip(names, things, strict=True))
    ]
