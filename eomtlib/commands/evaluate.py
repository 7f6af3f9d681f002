"""``evaluate``: the figures of a finished checkpoint on a data set."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from eomtlib.commands.checkpoint import open_checkpoint, task_of
from eomtlib.core import distributed
from eomtlib.core.atomic_files import write_file
from eomtlib.core.console import counted, deliver, show
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.precision import resolve_device
from eomtlib.core.words import ACCURACIES, DEFAULT_SIZE, FIGURES
from eomtlib.data.dataset import SegmentationDataset
from eomtlib.data.feed.loaders import eval_loader
from eomtlib.data.registry import open_dataset
from eomtlib.evaluation.evaluate import evaluate
from eomtlib.evaluation.metrics.metric import Result
from eomtlib.evaluation.official_files import ResultImage, exporting, told_apart
from eomtlib.inference.segmenter import Segmenter
from eomtlib.inference.tasks import get_task
from eomtlib.models.checkpoints import ModelConfig, identify
from eomtlib.report.losses import loss_sentences
from eomtlib.study.defaults import embedded_defaults
from eomtlib.study.parsing import read_split, whole
from eomtlib.study.records.kinds import as_json


def run(chosen: argparse.Namespace) -> None:
    """Evaluates, prints the figures, and writes what was asked for."""
    distributed.join(chosen.device)
    device = resolve_device(chosen.device)
    try:
        if chosen.export and distributed.world_size() > 1:
            raise ConfigurationError("export: predictions are written by one process; use one.")
        result, task, skipped = _evaluate(chosen, device)
        if distributed.is_first():
            _tell(chosen, result, task, skipped)
    finally:
        distributed.leave()


def _tell(chosen: argparse.Namespace, result: Result, task: str, skipped: int) -> None:
    for name in FIGURES[task]:
        show(f"{ACCURACIES.get(name, name):>10} {result.metrics[name]:6.2f}")
    for said in loss_sentences(result.errors):
        show(said)
    if skipped:
        show(f"Left out, on_bad='skip': {counted(skipped, 'image')}; check-data names them.")
    for name, text in (("output", "figures"), ("export", "predictions")):
        if path := getattr(chosen, name):
            show(f"Written: {path} ({text})")
    content = {"task": task, "metrics": result.metrics, "per_class": result.per_class}
    content |= {"errors": result.errors, "skipped_images": skipped}
    deliver(content)
    if chosen.output:
        write_file(Path(chosen.output).expanduser(), as_json(content))


def _evaluate(chosen: argparse.Namespace, device: str) -> tuple[Result, str, int]:
    """The figures, the task, and how many images were left out."""
    known = identify(chosen.checkpoint).config
    name = task_of(chosen, known)
    options = _metric_options(chosen, name)
    dataset, limit = open_data(chosen, name, known, device)
    segmenter, loader = open_model(chosen, name, dataset, device, limit=limit)
    folder = Path(chosen.export).expanduser()
    sources = [dataset.source(index) for index in range(len(dataset))]
    stems = told_apart(file_name for _, file_name in sources)
    images = {
        number: ResultImage(own_id, file_name, stems[file_name])
        for number, (own_id, file_name) in zip(dataset.image_ids.tolist(), sources, strict=True)
    }
    exports = partial(
        exporting, folder, task=name, classes=dataset.classes, image_of=images.__getitem__
    )
    with exports() if chosen.export else nullcontext() as export:
        result = evaluate(
            segmenter,
            loader,
            classes=dataset.classes,
            progress=distributed.is_first(),
            watchers=[lambda segmented, _, image_id: export(segmented, image_id)] if export else [],
            options=options,
        )
    return result, name, dataset.skipped


def _metric_options(chosen: argparse.Namespace, task: str) -> dict[str, Any]:
    """What was asked of the metric, which must be that of the task."""
    asked = {"boundary": chosen.boundary, "max_dets": chosen.max_dets}
    own = {"panoptic": "boundary", "instance": "max_dets"}.get(task)
    for name, value in asked.items():
        if value and name != own:
            raise ConfigurationError(f"{name} is of no use for task={task!r}; leave it out.")
    return {own: asked[own]} if own and asked[own] else {}


def open_data(
    chosen: argparse.Namespace, task: str, known: ModelConfig | None, device: str
) -> tuple[SegmentationDataset, int]:
    """The data set that was chosen, and how many images of it; 0 for all.

    Args:
        chosen: with the options of ``evaluate``.
        task: its name.
        known: what the model was trained on, if there is one: of ``shapes``, the size to draw.
        device: that it runs on.
    """
    # As everywhere, −1 is the default: all.
    limit = 0 if chosen.val_images == -1 else whole("val_images", chosen.val_images, at_least=0)
    named = {"train": chosen.train_data, "val": chosen.val_data}
    size = known.size if known else DEFAULT_SIZE
    with distributed.first_goes_first():  # it may write the embedded data set
        dataset = open_dataset(
            chosen.dataset,
            chosen.split,
            task=task,
            data_path=chosen.data_path or None,
            files=read_split(f"{chosen.split}_data", named.get(chosen.split, "")),
            image_size=known.image_size if known else None,
            val_images=limit or embedded_defaults(size, device).val_images,
            exif=chosen.exif,
            on_bad=chosen.on_bad,
            train_images=1 if chosen.split == "val" else 2000,  # of shapes, which draws both
        )
    return dataset, limit


def open_model(
    chosen: argparse.Namespace, name: str, dataset: SegmentationDataset, device: str, *, limit: int
) -> tuple[Segmenter, DataLoader]:
    """What segments with ``chosen.checkpoint`` for the task of a name, and the images for it."""
    task = get_task(name)
    model, config = open_checkpoint(chosen, classes=dataset.classes)
    segmenter = Segmenter(
        model,
        task=name,
        device=device,
        precision=chosen.precision,
        **task.class_options(dataset.classes),
    )
    loader = eval_loader(
        dataset,
        canvas=config.image_size,
        batch_size=chosen.batch_size,
        num_workers=chosen.workers,
        limit=limit,
        pin_memory=device.startswith("cuda"),
        rank=distributed.rank(),
        world_size=distributed.world_size(),
        in_windows=task.in_windows,
    )
    return segmenter, loader
