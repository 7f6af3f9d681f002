"""The runs of a results folder: which there are, why one is found or not, and their removal."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.files.holding import HELD_FILE, held
from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.study.naming import runs_of
from eomtlib.study.records.keys import TrainingKey
from eomtlib.study.records.kinds import EvaluationRecord, TrainingRecord
from eomtlib.study.records.store import ResultStore
from eomtlib.study.runs.run import Run
from eomtlib.training.loop.fit import trained_steps


def list_runs(store: ResultStore) -> pd.DataFrame:
    """A row for each run that was trained, or begun, the oldest first.

    Columns ``name`` (of its folder), ``state``, ``task``, ``steps``, the newest accuracy as
    ``figure``, and ``created``.
    """
    rows = []
    for name, (folder, training) in runs_of(store).items():
        row = {
            "name": name,
            "state": "trained",
            "task": "",
            "steps": 0,
            "figure": "",
            "created": "",
        }
        if training is None:
            row |= {"state": "interrupted", "steps": trained_steps(folder)}
        else:
            row |= {name: getattr(training, name) for name in ("task", "steps")}
            row["created"] = training.created[:16]
            evaluations = _evaluations(store, training, variant="")
            if evaluations:
                figure = FIGURES[training.task][0]
                row |= {"state": "evaluated"}
                row["figure"] = f"{ACCURACIES[figure]} {evaluations[-1].metrics[figure]:.1f}"
            if not (folder / "model" / "config.json").is_file():
                row["state"] = "weights gone"
        if (folder / HELD_FILE).exists():
            row["state"] += ", a process is at it"
        rows.append(row)
    return pd.DataFrame(rows)


def explain(run: Run) -> str:
    """Why a run is found, or is not: what of it there is, and in what the nearest one differs."""
    found, lines = run.result(), [f"{run.rung}, seed {run.settings.seed}: {run.folder}"]
    nearest = run.nearest_training()
    if found.training is not None:
        lines.append(f"training: found, {_named(found.training)}")
    elif nearest is None:
        lines.append("training: none in this folder")
    elif not nearest[1]:
        lines.append(f"training: {_named(nearest[0])} is the same, but its weights are gone")
    else:
        record, names = nearest
        lines.append(f"training: none; the nearest, {_named(record)}, differs in")
        lines += [
            f"  {text}" for text in _differences(run.identity.training_key, record.key, names)
        ]
    if found.training is None and (folder := run.folder).is_dir():
        lines.append(f"interrupted: step {trained_steps(folder)} in {folder.name}")
    if found.evaluation is not None:
        lines.append(f"evaluation: found, {_named(found.evaluation)}")
    elif found.training is not None:
        key = asdict(run.identity.evaluation_key(found.training.id))
        for other in _evaluations(run.store, found.training, variant=""):
            names = [name for name, value in key.items() if asdict(other.key)[name] != value]
            lines.append(f"evaluation: {_named(other)} differs in {', '.join(names)}")
    missing = run.missing_timings()
    for mode, sampler in run.identity.variants:
        state = "none" if (mode, sampler) in missing else "found"
        lines.append(f"timing, {mode}, {sampler} sampler: {state} on this machine")
    return "\n".join(lines)


def delete_runs(store: ResultStore, names: Sequence[str]) -> list[Path]:
    """Deletes runs, their weights, curves and records; timings stay, as they belong to no run.

    Args:
        store: the results folder.
        names: of their folders, as ``list_runs`` gives them.

    Returns:
        What was deleted.

    Raises:
        ConfigurationError: for an unknown name, or where a process is at one; nothing of that run
            is deleted then.
    """
    runs, deleted = runs_of(store), []
    for name in names:
        check_choice("run", name, runs)
    for name in names:
        folder, training = runs[name]
        with held(folder / HELD_FILE, name=name, say=str, wait=False) as is_mine:
            if not is_mine:
                raise ConfigurationError(f"{name}: a process is at it; end it, or wait for it.")
            records = [] if training is None else [*_evaluations(store, training), training]
            for path in map(store.path, records):
                path.unlink()
                deleted.append(path)
        shutil.rmtree(folder)
        deleted.append(folder)
    return deleted


def _evaluations(
    store: ResultStore, training: TrainingRecord, **equals: str
) -> list[EvaluationRecord]:
    return store.records("evaluation", training_id=training.id, **equals)


def _named(record: Any) -> str:
    return f"{record.id} of {record.created[:10]}"


def _differences(here: TrainingKey, there: TrainingKey, names: Sequence[str]) -> list[str]:
    lines = []
    for name in names:
        own, other = getattr(here, name), getattr(there, name)
        if isinstance(own, dict) and isinstance(other, dict):
            keys = [key for key in own | other if own.get(key) != other.get(key)]
            pairs = {f"{name}: {key}": (own.get(key), other.get(key)) for key in keys}
        else:
            pairs = {name: (own, other)}
        lines += [f"{what}: {_short(b)} there, {_short(a)} here" for what, (a, b) in pairs.items()]
    return lines


def _short(value: Any) -> str:
    text = "not said" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
