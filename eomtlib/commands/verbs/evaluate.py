"""``evaluate``: the figures of a finished checkpoint on a data set."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from eomtlib.commands.checkpoint import find_model, open_checkpoint, task_of
from eomtlib.commands.next_commands import next_commands
from eomtlib.core.console import counted, deliver, say, show
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.files.atomic_files import write_file
from eomtlib.core.machine import distributed
from eomtlib.core.machine.environment import environment
from eomtlib.core.machine.precision import resolve_device
from eomtlib.core.words import ACCURACIES, DEFAULT_SIZE, FIGURES
from eomtlib.data.dataset import SegmentationDataset
from eomtlib.data.feed.loaders import eval_loader
from eomtlib.data.registry import open_dataset
from eomtlib.evaluation.evaluate import EVALUATION_METHOD, evaluate
from eomtlib.evaluation.official_files import ResultImage, exporting, told_apart
from eomtlib.evaluation.worst_images import WorstImages
from eomtlib.inference.segmenter import Segmenter
from eomtlib.inference.tasks import POST_PROCESSING_METHOD, get_task
from eomtlib.models.checkpoints import ModelConfig, identify
from eomtlib.models.ladder import masking_after
from eomtlib.report.evaluated import write_figures
from eomtlib.report.losses import loss_sentences
from eomtlib.report.screen import class_lines
from eomtlib.study.naming import run_of
from eomtlib.study.parameters.defaults import embedded_defaults
from eomtlib.study.parameters.parsing import read_split, whole
from eomtlib.study.records.evaluation_fields import measured
from eomtlib.study.records.json_files import as_json
from eomtlib.study.records.kinds import EvaluationRecord


def run(chosen: argparse.Namespace) -> None:
    """Evaluates, prints the figures, and writes what was asked for."""
    distributed.join(chosen.device)
    device = resolve_device(chosen.device)
    named = chosen.checkpoint
    try:
        if chosen.export and distributed.world_size() > 1:
            raise ConfigurationError("export: predictions are written by one process; use one.")
        find_model(chosen)
        evaluated = _evaluate(chosen, device)
        if distributed.is_first():
            _tell(chosen, named, *evaluated)
    finally:
        distributed.leave()


def _tell(
    chosen: argparse.Namespace,
    named: str,
    record: EvaluationRecord,
    dataset: SegmentationDataset,
    segmenter: Segmenter,
) -> None:
    for name in FIGURES[record.task]:
        show(f"{ACCURACIES.get(name, name):>10} {record.metrics[name]:6.2f}")
    for said in loss_sentences(record.errors):
        show(said)
    try:
        kept = _keep(record, chosen, dataset, segmenter)
    except OSError as error:  # somebody else's results, perhaps; the figures are there
        kept = ""
        say(f"No record was written beside the run's: {error}")
    output = chosen.output and str(Path(chosen.output).expanduser())
    lines = class_lines(record, rest=output or kept or "--output FILE")
    show("\n".join(["", *lines, ""]))
    if record.skipped_images:
        left_out = counted(record.skipped_images, "image")
        show(f"Left out, on_bad='skip': {left_out}; check-data names them.")
    names = ("task", "metrics", "per_class", "errors", "skipped_images")
    names += ("confusion", "worst_images")
    content = {name: getattr(record, name) for name in names}
    deliver(content | {"record": kept or None})
    if output:
        write_file(Path(output), as_json(content))
    written = [(output, "figures"), (chosen.export, "predictions"), (kept, "the record")]
    if chosen.figures:
        folder = Path(chosen.figures).expanduser()
        drawn = write_figures(folder, record, dataset=dataset, segmenter=segmenter)
        written += [(str(path), "figure") for path in drawn]
    for path, what in written:
        if path:
            show(f"Written: {path} ({what})")
    sizes = {"split": chosen.split, "num_images": record.num_images}
    say(next_commands(named, vars(chosen), evaluated=dataset, **sizes))


def _keep(
    record: EvaluationRecord,
    chosen: argparse.Namespace,
    dataset: SegmentationDataset,
    segmenter: Segmenter,
) -> str:
    """Writes a record beside those of the run that was evaluated, if it is one.

    Returns:
        Its file, or the file of what the run has measured in the same way itself; empty for what is
        no run's.
    """
    if (found := run_of(Path(chosen.checkpoint))) is None:
        return ""
    store, training = found
    record = replace(record, training_id=training.id, data=dataset.digest())
    asked = {name: getattr(record, name) for name in ("key", "dataset", "split", "input_size")}
    kind = segmenter.device.partition(":")[0]
    own = store.find("evaluation", task=record.task, variant="", **asked)
    options = _metric_options(chosen, record.task)
    same = (segmenter.precision, kind) == (training.key.precision, training.key.device)
    if own and same and not options:
        return str(store.path(own))
    variant = (
        f"{record.dataset}, {record.split}, {record.num_images} images, {record.task}, "
        f"{record.input_size[0]}x{record.input_size[1]}, {segmenter.precision} on {kind}"
    ) + "".join(f", {name}={value}" for name, value in options.items())
    before = store.find("evaluation", key=record.key, variant=variant)
    number = before.id if before else record.id
    return str(store.path(store.write(replace(record, id=number, variant=variant, label=variant))))


def _evaluate(
    chosen: argparse.Namespace, device: str
) -> tuple[EvaluationRecord, SegmentationDataset, Segmenter]:
    """What was measured, as the record of no run; on what, and with what."""
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
    worst = WorstImages(name, dataset.classes)
    with exports() if chosen.export else nullcontext() as export:
        written = [lambda segmented, _, image_id: export(segmented, image_id)] if export else []
        result = evaluate(
            segmenter,
            loader,
            classes=dataset.classes,
            progress=distributed.is_first(),
            watchers=[worst, *written],
            options=options,
        )
    record = EvaluationRecord(
        **measured(result, worst),
        rung=known.rung,
        size=known.size,
        pretraining=known.pretraining,
        environment=environment(device),
        training_id="",
        dataset=chosen.dataset,
        split=chosen.split,
        num_images=min(limit or len(dataset), len(dataset)),
        task=name,
        masking=masking_after(known.masking),
        input_size=tuple(segmenter.input_size),
        method=EVALUATION_METHOD,
        post_processing=POST_PROCESSING_METHOD,
        skipped_images=dataset.skipped,
    )
    return record, dataset, segmenter


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
            # Of shapes, as many as a run draws, so that both are the same data.
            val_images=max(limit, embedded_defaults(size, device).val_images or 500),
            exif=chosen.exif,
            on_bad=chosen.on_bad,
            train_images=1 if chosen.split == "val" else limit or 2000,
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
