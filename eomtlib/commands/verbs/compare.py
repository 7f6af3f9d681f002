"""``compare``: whether two models differ on the same images by more than these images' chance."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from eomtlib.commands.checkpoint import task_of
from eomtlib.commands.verbs.evaluate import open_data, open_model
from eomtlib.core.console import deliver, progress, show
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.escaping import for_matplotlib
from eomtlib.core.files.atomic_files import new_folder, write_file
from eomtlib.core.machine.precision import resolve_device
from eomtlib.data.dataset import SegmentationDataset
from eomtlib.evaluation.comparison.bootstrap import Difference, difference
from eomtlib.evaluation.comparison.statistics import ImageStatistics, Statistics
from eomtlib.evaluation.evaluate import evaluate
from eomtlib.evaluation.prediction_files import PredictionFiles, find_predictions
from eomtlib.inference.tasks import get_task
from eomtlib.models.checkpoints import identify
from eomtlib.report.comparison import class_table, image_table, sentences
from eomtlib.report.plots.images.image_rows import plot_segmentations
from eomtlib.study.naming import find_checkpoint
from eomtlib.study.parameters.parsing import whole
from eomtlib.study.records.json_files import as_json

_COLUMNS = 5
_Segment = Callable[[int, Tensor], Any]
"""Position and pixels of an image → its segmentation."""


def run(chosen: argparse.Namespace) -> None:
    """Compares, says what came of it, and writes what was asked for."""
    device = resolve_device(chosen.device)
    whole("resamples", chosen.resamples, at_least=100)
    worst = whole("worst", chosen.worst, at_least=1)
    files = [find_predictions(path) for path in (chosen.a, chosen.b)]
    paths = [
        given if found else str(find_checkpoint(given, chosen.results_dir))
        for found, given in zip(files, (chosen.a, chosen.b), strict=True)
    ]
    configs = [
        None if found else identify(path).config for found, path in zip(files, paths, strict=True)
    ]
    tasks = {
        found[0] if found else task_of(_as_checkpoint(chosen, path), config)
        for found, path, config in zip(files, paths, configs, strict=True)
    }
    if len(tasks) > 1:
        raise ConfigurationError(
            f"A and B are of different tasks ({' and '.join(sorted(tasks))}); set task to one that "
            "both can do, or compare predictions of one task."
        )
    (task,) = tasks
    known = next(filter(None, configs), None)
    dataset, limit = open_data(chosen, task, known, device)
    count = min(len(dataset), limit or len(dataset))
    statistics: list[Statistics] = []
    segment: list[_Segment] = []
    for found, path in zip(files, paths, strict=True):
        watcher = ImageStatistics(task, dataset.classes)
        if found:
            predictions = PredictionFiles(*found, classes=dataset.classes)
            segment.append(_from_files(predictions, dataset))
            for index in progress(range(count), f"reading {Path(path).name}", unit="images"):
                image, target = dataset.read(index)
                watcher(segment[-1](index, image), target, int(dataset.image_ids[index]))
        else:
            own = _as_checkpoint(chosen, path)
            segmenter, loader = open_model(own, task, dataset, device, limit=limit)
            segment.append(lambda _, image, segmenter=segmenter: segmenter(image))
            evaluate(segmenter, loader, classes=dataset.classes, watchers=[watcher])
        statistics.append(watcher.finished())
    result = difference(*statistics, num_images=count, resamples=chosen.resamples)
    _tell(chosen, result, dataset, task=task, worst=worst)
    if chosen.figures:
        by_image = image_table(result, range(count), most=worst)
        with new_folder(Path(chosen.figures).expanduser()) as folder:
            for begun in range(0, len(by_image), _COLUMNS):
                shown = by_image[begun : begun + _COLUMNS]
                figure = _drawn(dataset, shown, dict(zip("AB", segment, strict=True)), task)
                path = folder / f"differences-{begun // _COLUMNS + 1}.png"
                figure.savefig(path, dpi=120, bbox_inches="tight")
        show(f"Written: {chosen.figures} (pictures of these images)")


def _tell(
    chosen: argparse.Namespace,
    result: Difference,
    dataset: SegmentationDataset,
    *,
    task: str,
    worst: int,
) -> None:
    names = _names(chosen)
    said = sentences(result, task=task, names=names, classes=dataset.classes)
    by_class = class_table(result, dataset.classes)
    sources = [dataset.source(index)[1] for index in range(len(result.by_image))]
    by_image = image_table(result, sources, most=worst)
    show("\n".join(said))
    show(f"\nA: {chosen.a}\nB: {chosen.b}\n\n{by_class.to_string(float_format='%.1f')}")
    if len(by_image):
        listed = by_image.to_string(index=False, float_format="%.1f")
        show(f"\nThe images that differ most:\n{listed}")
    content = {
        "task": task,
        "a": str(chosen.a),
        "b": str(chosen.b),
        "said": said,
        "figures": result.figures.tolist(),
        "difference": result.gain,
        "interval": result.interval,
        "resamples": result.resamples,
        "num_images": len(sources),
        "per_class": by_class.to_dict(orient="index"),
        "images": by_image.to_dict(orient="records"),
    }
    deliver(content)
    if chosen.output:
        write_file(Path(chosen.output).expanduser(), as_json(content))
        show(f"Written: {chosen.output} (figures)")


def _names(chosen: argparse.Namespace) -> tuple[str, str]:
    """What A and B are called: their own names, where these tell them apart."""
    a, b = (Path(path).expanduser().resolve().name for path in (chosen.a, chosen.b))
    return (a, b) if a != b else ("A", "B")


def _as_checkpoint(chosen: argparse.Namespace, path: str) -> argparse.Namespace:
    return argparse.Namespace(**vars(chosen), checkpoint=path, weights="")


def _from_files(predictions: PredictionFiles, dataset: SegmentationDataset) -> _Segment:
    def segmented(index: int, image: Tensor) -> Any:
        return predictions.segmented(dataset.source(index), tuple(image.shape[1:]))

    return segmented


def _drawn(
    dataset: SegmentationDataset, by_image: pd.DataFrame, segment: dict[str, _Segment], task: str
) -> Figure:
    """The images of ``image_table``, side by side, with their targets and both segmentations."""
    images: list[np.ndarray] = []
    rows: dict[str, list[Any]] = {name: [] for name in ("target", *segment)}
    for index in by_image["image"]:
        image, target = dataset.read(index)
        images.append(image.permute(1, 2, 0).numpy())
        rows["target"].append((target.ids.amax(0).numpy(), target.labels.tolist()))
        for name, own in segment.items():
            painted = get_task(task).paint(own(index, image))
            rows[name].append((painted.ids.cpu().numpy(), painted.labels))
    figure = plot_segmentations(images, rows, classes=dataset.classes)
    shown = zip(figure.axes, by_image["image"], by_image["difference"], strict=False)
    for axis, index, own_gain in shown:
        stem = Path(dataset.source(index)[1]).stem
        gain = f"{own_gain:+.0f}".replace("-", "−")
        axis.set_title(f"{for_matplotlib(stem[-20:])}\nB − A: {gain}", fontsize=8)
    return figure
