"""``evaluate``: the figures of a finished checkpoint on a data set."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from eomtlib.commands.checkpoint import task_of
from eomtlib.commands.judging import open_data, open_model
from eomtlib.core import distributed
from eomtlib.core.atomic_files import write_file
from eomtlib.core.console import counted, deliver, show
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.precision import resolve_device
from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.evaluation.evaluate import evaluate
from eomtlib.evaluation.metrics.metric import Result
from eomtlib.evaluation.official_files import ResultImage, exporting, told_apart
from eomtlib.models.checkpoints import identify
from eomtlib.report.losses import loss_sentences
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
