"""Data frames of what was measured, and what must stand beside their figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.models.ladder import LADDER
from eomtlib.report.timings import by_time, said_of, same_measure, spread
from eomtlib.study.records.keys import Architecture
from eomtlib.study.records.kinds import EvaluationRecord, Record, TimingRecord, TrainingRecord
from eomtlib.study.records.store import RunResult, fastest, in_turns
from eomtlib.study.runs.run import Run
from eomtlib.study.study import Study

_COLUMNS = (
    *("evaluation_id", "training_id", "timing_id", "rung", "size", "pretraining", "dataset"),
    *("configuration", "options", "split", "num_images", "task", "inference_masking"),
    *("input_size", "label"),
    *(f"{name}{part}" for name in ("pq", "sq", "rq", "n") for part in ("", "_things", "_stuff")),
    *("steps", "epochs", "batch_size", "seed", "wall_time_s", "peak_memory_mib", "final_loss"),
    *("params_m", "gmacs", "cost_image_size", "fps", "fps_end_to_end", "mode", "dtype"),
    *("sampler", "attention_kernel", "machine", "created"),
)


_UNTRAINED = ("rung", "size", "pretraining", "task", "masking")
"""What an evaluation says of the architecture where its training is not at hand."""


def accuracy_of(table: pd.DataFrame) -> str:
    """The column of a table's accuracies.

    Args:
        table: of one task; the first where a printed table has several.
    """
    return next(column for column in ACCURACIES if column in table)


def to_frame(study: Study) -> pd.DataFrame:
    """One row for each run: its parameters, and what was measured under this library's names.

    Columns ``rung``, ``step``, ``size``, ``pretraining``, ``dataset``, ``seed``, ``masking`` and
    ``inference_masking``, and whatever else the runs differ in;
    then costs (``params_m``, ``gmacs``, ``fps``, ``fps_spread`` in percent, ``fps_end_to_end``,
    ``session`` of its timing, ``mode``, ``sampler``, ``attention``, ``machine``), accuracy in
    percent (the task's ``words.FIGURES``; empty where nothing was trained) and ``steps``,
    ``train_minutes``, ``peak_memory`` (GiB) of the training.
    """
    rows = zip(study.points, study.runs, study.results, strict=True)
    return pd.DataFrame([_run_row(*row) for row in rows])


def of_results(results: Iterable[RunResult]) -> pd.DataFrame:
    """``to_frame`` of runs of which there are records alone; what these lack is empty."""
    return pd.DataFrame([_result_row(result) for result in results])


def accuracies(study: Study) -> pd.DataFrame:
    """One row for each run: what tells it from others, its seed, and its accuracies in percent."""
    rows = []
    for point, run, result in zip(study.points, study.runs, study.results, strict=True):
        figures = result.evaluation.metrics if result.evaluation else {}
        names = FIGURES[run.settings.task]
        own = {name: figures.get(name, float("nan")) for name in names}
        rows.append({"rung": run.rung, "seed": run.settings.seed, **point, **own})
    return pd.DataFrame(rows)


def note_beside(study: Study) -> str:
    """What must stand beside accuracies and FPS of a study; empty where nothing must."""
    results = study.results
    trained = any(result.evaluation is not None for result in results)
    seeds = {run.settings.seed for run in study.runs}
    alone = "one seed, which settles no difference" if trained and len(seeds) == 1 else ""
    notes = (study.label, alone, *said_of([result.timing for result in results]))
    return "; ".join(text for text in notes if text)


def to_dataframe(records: Iterable[Record]) -> pd.DataFrame:
    """One row per evaluation that a run did of itself, with its training and a timing of it.

    A timing belongs to an evaluation if it is of the same architecture and hardware: what was
    trained beside others had fewer threads than a model that is timed alone. Of several at the
    newest one's image size, the fastest mode and sampler are shown, as ``store.in_turns`` has them.
    Cells without a value are empty; sizes are ``height x width`` texts, such as ``640x640``.
    Metrics other than PQ's get columns of their own at the end.

    Args:
        records: of any kinds, such as ``store.records()``.
    """
    by_kind: defaultdict[str, list[Any]] = defaultdict(list)
    for record in by_time(records):
        by_kind[record.kind].append(record)
    trainings = {record.id: record for record in by_kind["training"]}
    found = []
    for evaluation in by_kind["evaluation"]:
        if evaluation.variant:
            continue
        training = trainings.get(evaluation.training_id)
        if training is not None:
            architecture = training.key.architecture(evaluation.masking)
        else:
            named = {name: getattr(evaluation, name) for name in _UNTRAINED}
            architecture = Architecture.of_rung(num_queries=None, **named)
        timings = [
            timing
            for timing in by_kind["timing"]
            if timing.key.architecture.agrees(architecture)
            and timing.environment.hardware == evaluation.environment.hardware
        ]
        found.append((evaluation, training, timings))
    chosen = in_turns([same_measure(timings) for *_, timings in found])
    rows = [
        _record_row(*records, fastest(own) if own else None)
        for (*records, _), own in zip(found, chosen, strict=True)
    ]
    others = dict.fromkeys(name for row in rows for name in row if name not in _COLUMNS)
    return pd.DataFrame(rows, columns=[*_COLUMNS, *others])


def run_as_built(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of evaluations that were run with or without masks as their rung is."""
    masking = runs["rung"].map(lambda rung: LADDER[rung].inference_masking)
    return runs[runs["inference_masking"] == masking]


def _run_row(point: Mapping[str, Any], run: Run, result: RunResult) -> dict[str, Any]:
    settings = run.settings
    row: dict[str, Any] = {"rung": run.rung, "step": run.identity.rung.step}
    row |= {name: getattr(settings, name) for name in ("size", "pretraining", "dataset", "seed")}
    row |= {name: getattr(run.identity, name) for name in ("masking", "inference_masking")}
    row |= {name: value for name, value in point.items() if name not in row}
    return row | _figures(result, task=settings.task)


def _result_row(result: RunResult) -> dict[str, Any]:
    training, evaluation, timing = result.training, result.evaluation, result.timing
    first = training or evaluation or timing
    row: dict[str, Any] = {"rung": first.rung, "step": LADDER[first.rung].step}
    row |= {"size": first.size, "pretraining": first.pretraining}
    if training is not None:
        options = training.key.options or {}
        row |= {"dataset": training.dataset, "seed": training.seed}
        row["masking"] = options.get("masking") or LADDER[first.rung].masking
    if evaluation is not None:
        row["inference_masking"] = evaluation.masking
    return row | _figures(result, task=first.task)


def _figures(result: RunResult, *, task: str) -> dict[str, Any]:
    """Costs, accuracies, and what the training took."""
    timing, row = result.timing, {}
    if timing is not None:
        row = {"params_m": timing.params_m, "gmacs": timing.gmacs}
        row |= {"fps": timing.fps_model, "fps_spread": spread(timing)}
        row |= {"fps_end_to_end": timing.fps_end_to_end, "session": timing.session}
    for name in FIGURES[task]:
        row[name] = result.evaluation.metrics[name] if result.evaluation else float("nan")
    if result.training is not None:
        row |= {
            "steps": result.training.steps,
            "train_minutes": result.training.wall_time_s / 60,
            "peak_memory": result.training.peak_memory_mib / 1024,
        }
    if timing is None:
        return row
    said = f"{timing.mode}, {timing.dtype}"
    if LADDER[timing.rung].has_deformable_attention:
        said += f", {timing.sampler} sampler"
    return row | {"mode": said, "attention": timing.attention_kernel, "machine": timing.machine}


def _record_row(
    evaluation: EvaluationRecord, training: TrainingRecord | None, timing: TimingRecord | None
) -> dict[str, Any]:
    row: dict[str, Any] = {"evaluation_id": evaluation.id}
    named = ("training_id", "rung", "size", "pretraining", "dataset", "split", "num_images", "task")
    for name in (*named, "label", "machine", "created"):
        row[name] = getattr(evaluation, name)
    row["inference_masking"] = evaluation.masking
    row["input_size"] = _size(evaluation.input_size)
    if training is not None:
        for name in ("steps", "epochs", "batch_size", "seed", "wall_time_s", "peak_memory_mib"):
            row[name] = getattr(training, name)
        row["configuration"] = training.key.digest(without=("seed",))
        row["options"] = _spelled(training.key.options)
        row |= {"final_loss": training.final_loss, "params_m": training.parameters_m}
        if unsaid := training.key.unsaid:
            said = f"its record does not say: {', '.join(unsaid)}"
            row["label"] = "; ".join(text for text in (evaluation.label, said) if text)
    if timing is not None:
        for name in ("params_m", "gmacs", "fps_end_to_end", "mode", "dtype", "sampler"):
            row[name] = getattr(timing, name)
        row |= {"timing_id": timing.id, "fps": timing.fps_model}
        row["attention_kernel"] = timing.attention_kernel
        row["cost_image_size"] = _size(timing.cost_image_size)
    return row | evaluation.metrics


def _spelled(options: dict[str, Any]) -> str:
    """``{"taps": [2, 5]}`` → ``taps=2,5``; empty where the rung is as the papers build it."""
    lists = {name: v if isinstance(v, list | tuple) else [v] for name, v in options.items()}
    return " ".join(f"{name}={','.join(map(str, values))}" for name, values in lists.items())


def _size(height_width: tuple[int, int]) -> str:
    return "{}x{}".format(*height_width)
