"""What a short training tells, and what it would take to tell more."""

from __future__ import annotations

import pandas as pd

from eomtlib.core.words import ACCURACIES, OWN_SIZES
from eomtlib.models.ladder import LADDER
from eomtlib.report.answers.effects import known_spread
from eomtlib.report.frame import accuracy_of
from eomtlib.report.uncertainty import seeds_needed
from eomtlib.study.parameters.defaults import defaults_for
from eomtlib.study.parameters.parameter_cell import ParameterCell
from eomtlib.study.planning import format_seconds
from eomtlib.study.study import Study
from eomtlib.training.duration import parse_duration


def short_sentences(study: Study, frame: pd.DataFrame) -> list[str]:
    """What can be said where the trainings are too short for accuracies to mean anything."""
    figure = ACCURACIES[accuracy_of(frame)]
    trained = frame.dropna(subset=[accuracy_of(frame)])
    said = []
    if "fps" in frame:
        ends = [trained.loc[at(trained["fps"])] for at in (pd.Series.idxmin, pd.Series.idxmax)]
        several = trained["rung"].nunique() > 1
        low, high = (
            f"{row['fps']:.3g}" + (f" ({LADDER[row['rung']].title})" if several else "")
            for row in ends
        )
        said.append(f"Costs and speed are measured: from {low} to {high} images a second.")
    return [
        f"All {len(trained)} runs trained and were evaluated: every rung works here.",
        *said,
        f"{figure} says nothing yet ({study.label}).",
    ]


def next_steps(
    study: Study, frame: pd.DataFrame, cell: ParameterCell | None
) -> tuple[tuple[str, str], ...]:
    """What would tell more, and the commands: a full schedule, or more seeds."""
    if not study.train:
        return (("Trained, the same models say what they reach.", _command(cell, train=True)),)
    if study.label:
        default = {"duration": "", "batch_size": 0, "val_images": -1}
        own = study.settings.size in OWN_SIZES
        if own or study.settings.kind == "cuda":
            return ((_schedule(study, frame), _command(cell, **default)),)
        size = "sizes" if cell is not None and "sizes" in cell.values else "size"
        why = "Our own sizes learn the embedded data on a CPU, in minutes a model."
        nano = _command(cell, **default, **{size: "nano"})
        return ((_schedule(study, frame), ""), (why, nano))
    seeds = sorted({run.settings.seed for run in study.runs})
    spread, count, _ = known_spread(study)
    needed = seeds_needed(2**0.5 * spread) if count else 3
    wanted = min(max(3, len(seeds) + 2, needed), 10)
    more = [*seeds, *(n for n in range(wanted) if n not in seeds)][: max(wanted, len(seeds) + 1)]
    minutes = frame.get("train_minutes", pd.Series(dtype=float)).sum() / max(1, len(seeds))
    took = format_seconds(60 * minutes * (len(more) - len(seeds)))
    why = f"More seeds narrow the intervals: {len(more)} in all, about {took} more of training."
    return ((why, _command(cell, seeds=",".join(map(str, sorted(more))))),)


def _schedule(study: Study, frame: pd.DataFrame) -> str:
    """How long a schedule to learn in would take here, by the steps that were measured."""
    s = study.settings
    named = {"size": s.size, "pretraining": s.pretraining, "task": s.task}
    device = s.device if s.size in OWN_SIZES else "cuda"
    default, full = defaults_for(s.dataset, **named, device=device)
    embedded = s.dataset == "shapes"
    goal = default if embedded else full
    steps = parse_duration(goal.duration).steps(
        samples=goal.train_images if embedded else len(study.runs[0].materials.train_set),
        batch_size=goal.batch_size,
        seconds_per_step=lambda: 1.0,
    )
    height, width = s.image_size
    larger = goal.image_size**2 / (height * width) * goal.batch_size / s.batch_size
    took = ""
    if "train_minutes" in frame:
        days = (frame["train_minutes"] / frame["steps"]).sum() * larger * steps / 1440
        took = f"{days:.0f} days" if days >= 2 else format_seconds(days * 86400)
        took = f", would take about {took} here for these {len(frame)} runs, by the steps measured"
    where = "the default on a GPU" if device != s.device else "the default"
    return (
        f"A schedule to learn in, {where} ({parse_duration(goal.duration).said} of batch "
        f"{goal.batch_size} at {goal.image_size}×{goal.image_size}){took}."
    )


def _command(cell: ParameterCell | None, **changed: object) -> str:
    return "" if cell is None else cell.command(**changed)
