"""The models to look into: checkpoints that somebody names, or finished runs of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from eomtlib.core.errors import ConfigurationError
from eomtlib.models.checkpoints import ModelConfig, identify, load_model
from eomtlib.models.encoder_names import encoder_size
from eomtlib.models.ladder import LADDER
from eomtlib.models.timm_vits import is_timm, timm_vit
from eomtlib.study.naming import find_checkpoint
from eomtlib.study.parameters.parsing import parse_image_size, parse_rungs
from eomtlib.study.records.kinds import TrainingRecord
from eomtlib.study.records.store import ResultStore
from eomtlib.training.duration import parse_duration


@dataclass(frozen=True)
class ExploredModel:
    """Where a model is, and how it is called.

    Attributes:
        path: as ``checkpoints.load_model`` takes it.
        rung: of the ladder.
        details: size, pretraining, seed and what else is known, one by one.
        image_size: height and width that it is trained at.
        needs_encoder: whether the file lacks the pretrained encoder or holds the difference to it.
        label: what must stand beside what it predicts, empty where nothing must.
        task: that it was trained for.
    """

    path: Path
    rung: str
    details: tuple[str, ...]
    image_size: tuple[int, int]
    needs_encoder: bool = False
    label: str = ""
    task: str = "panoptic"

    @property
    def title(self) -> str:
        """The rung's title and what tells it from others of the rung."""
        return _titled(self.rung, self.details)

    def load(
        self, *, image_size: tuple[int, int] | None = None, weights: str | Path | None = None
    ) -> tuple[nn.Module, ModelConfig]:
        """The model in eval mode, and what it is; see ``checkpoints.load_model``."""
        weights = weights if self.needs_encoder else None
        return load_model(self.path, image_size=image_size, weights=weights or None)


def told_once(models: Sequence[ExploredModel]) -> tuple[list[str], str]:
    """How models are called beside each other, and what is true of all of them.

    Returns:
        A name for each, without the details that all share, and these.
    """
    every = [model.details for model in models]
    shared = [detail for detail in every[0] if all(detail in own for own in every)]
    names = [
        _titled(model.rung, [detail for detail in model.details if detail not in shared])
        for model in models
    ]
    return names, ", ".join(shared)


def given_checkpoints(
    checkpoints: str, *, results_dir: str | Path = "results/runs"
) -> list[ExploredModel]:
    """The models of a comma-separated list of checkpoints.

    Args:
        checkpoints: files or folders, as ``checkpoints.load_model`` takes them, or names of runs;
            see ``study.naming.find_checkpoint``.
        results_dir: where names are looked up.

    Raises:
        ConfigurationError: when nothing is named, or a name is of no run or of several.
        CheckpointError: when one does not exist, or is of no known kind.
    """
    names = [name.strip() for name in checkpoints.split(",") if name.strip()]
    if not names:
        raise ConfigurationError(
            f"checkpoints={checkpoints!r} names nothing. Give files, folders or names of runs; "
            "empty for the finished runs of results_dir."
        )
    return _told_apart([model_at(find_checkpoint(name, results_dir)) for name in names])


def model_at(path: Path) -> ExploredModel:
    """The model of a file or folder, as ``checkpoints.load_model`` takes it; also a training's."""
    found = identify(path)
    config = found.config
    return ExploredModel(
        path=path,
        rung=config.rung,
        details=(config.size, f"pretraining {config.pretraining}"),
        image_size=config.image_size,
        needs_encoder=found.encoder != "whole",
        task=config.task or "panoptic",
    )


def finished_runs(
    store: ResultStore,
    *,
    rungs: str | Sequence[str] = "all",
    size: str,
    pretraining: str = "auto",
    dataset: str,
    task: str = "",
    seed: int = 0,
    duration: str | int = "",
    image_size: int | str | tuple[int, int] = 0,
) -> list[ExploredModel]:
    """Finished runs under these parameters, one for each rung, in the ladder's order.

    All are of one configuration, so that rungs can be compared: of runs that are long enough to say
    something the one with the most rungs, of equals the one without options, then the newest.

    Args:
        store: the results folder.
        rungs: to look for.
        size: of the runs; a name of timm's says it.
        pretraining: ``auto`` for any.
        dataset: of the runs.
        task: of the runs; empty for any.
        seed: of the runs.
        duration: empty for any.
        image_size: 0 for any.
    """
    if is_timm(pretraining):
        size, pretraining = encoder_size(size, pretraining), timm_vit(pretraining).pretraining
    perhaps = {"task": task, "pretraining": "" if pretraining == "auto" else pretraining}
    perhaps |= {"image_size": parse_image_size(image_size) if image_size else None}
    wanted: dict[str, Any] = {"size": size, "dataset": dataset, "seed": seed}
    wanted |= {name: value for name, value in perhaps.items() if value}
    chosen = parse_rungs(rungs)
    records = [
        record
        for record in store.records("training", **wanted)
        if record.rung in chosen
        and (not duration or _lasted(record, duration))
        and (store.root / record.checkpoint).exists()
    ]
    # By what runs of one study share; records come from the oldest to the newest.
    studies: dict[str, dict[str, TrainingRecord]] = {}
    for record in records:
        shared = repr(record.key.config(without=("rung", "recipe")))
        study = studies.pop(shared, {})
        studies[shared] = study | {record.rung: record}
    best = max(
        reversed(studies.values()),
        key=lambda own: (
            not any(record.label for record in own.values()),
            len(own),
            not any(record.key.options for record in own.values()),
        ),
        default={},
    )
    newest = [best[rung] for rung in chosen if rung in best]
    return _told_apart([trained_model(store, record) for record in newest])


def trained_model(store: ResultStore, record: TrainingRecord) -> ExploredModel:
    """What a training left in its results folder."""
    said = [record.size, f"pretraining {record.pretraining}", f"seed {record.seed}"]
    said += [f"{name}={value}" for name, value in record.key.options.items()]
    return ExploredModel(
        path=store.root / record.checkpoint,
        rung=record.rung,
        details=tuple(said),
        image_size=record.image_size,
        label=record.label,
        task=record.task,
    )


def _lasted(record: TrainingRecord, duration: str | int) -> bool:
    lasted = record.key.duration
    return lasted is not None and parse_duration(lasted) == parse_duration(duration)


def _told_apart(models: list[ExploredModel]) -> list[ExploredModel]:
    """Adds what its checkpoint is called where a title is not the only one of its kind."""
    counts = Counter(model.title for model in models)
    # A folder's name where the file's own is every checkpoint's.
    names = [
        path.parent.name if path.name in ("model", "pytorch_model.bin") else path.name
        for path in (model.path for model in models)
    ]
    return [
        replace(model, details=(*model.details, name)) if counts[model.title] > 1 else model
        for model, name in zip(models, names, strict=True)
    ]


def _titled(rung: str, details: Sequence[str]) -> str:
    return LADDER[rung].title + (f" ({', '.join(details)})" if details else "")
