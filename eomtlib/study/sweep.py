"""Several studies as one: every combination of seeds, sizes, pretrainings and choices in a model.

Each point of a sweep is a run of one rung under one configuration. Points share records: what one
notebook has trained another finds again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.words import FIGURES, OWN_PRETRAININGS, OWN_SIZES
from eomtlib.models.encoders import TIMM_NAMES, has_encoder
from eomtlib.models.ladder import LADDER
from eomtlib.study.parameters import parse_rungs, parse_seeds
from eomtlib.study.planning import Plan, format_seconds
from eomtlib.study.side_by_side import default_jobs, learn_side_by_side, parse_jobs
from eomtlib.study.study import RungResult, Study, time_missing
from eomtlib.study.timing_rounds import apart

Point = Mapping[str, Any]
"""``rung``, and those parameters of ``Study`` in which it differs from other points."""


@dataclass(frozen=True)
class SweepRun:
    """One point and what came of it.

    Attributes:
        point: as it was given.
        study: of its configuration.
        result: of its rung.
    """

    point: Point
    study: Study
    result: RungResult

    @property
    def masking(self) -> str:
        """How it was trained: ``masked``, ``annealed`` or ``unmasked``."""
        options = self.study.experiment.options(self.result.rung)
        return options.masking or LADDER[self.result.rung].masking

    @property
    def inference_masking(self) -> str:
        """How it was evaluated and timed: ``masked`` or ``unmasked``."""
        return self.study.experiment.inference_masking(self.result.rung)


def grid(**axes: str | Sequence[Any]) -> list[Point]:
    """All combinations of the values of some parameters, the first axis changing slowest.

    Args:
        axes: parameter → its values, a sequence or a comma-separated string; ``rung`` knows
            ``all``.

    Returns:
        The points, without combinations of size and pretraining that do not exist.

    Raises:
        ConfigurationError: for a name that does not exist, or where nothing is left.
    """
    values = {name: _values(name, given) for name, given in axes.items()}
    points = [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]
    points = [point for point in points if _exists(point)]
    if not points:
        raise ConfigurationError(
            f"size={axes.get('size')!r} and pretraining={axes.get('pretraining')!r} have no "
            "encoder in common; add another of either."
        )
    return points


class Sweep:
    """Runs of many points, their plan, and one table of all that was measured.

    Args:
        points: as ``grid`` returns them, or written out.
        results_dir: as ``Study`` takes it.
        train: likewise.
        progress: likewise.
        jobs: trainings at once, each in a process of its own (a script must then start them under
            ``if __name__ == "__main__"``); 0 for as many as suit machine and models.
        shared: parameters of ``Study`` that all points have; a point's own come first.

    Raises:
        ConfigurationError, DataError: when a parameter or the data cannot be used; nothing has been
            trained then.
    """

    def __init__(
        self,
        points: Sequence[Point],
        *,
        results_dir: str | Path = "results/runs",
        train: bool | str = True,
        progress: bool = True,
        jobs: int | str = 1,
        **shared: Any,
    ) -> None:
        self.points = list(points)
        self._jobs = parse_jobs(jobs)
        if not self.points:
            raise ConfigurationError("a sweep needs at least one point; name a model to run.")
        self._studies: dict[tuple, Study] = {}
        for point in self.points:
            key = _key(point)
            if key not in self._studies:
                self._studies[key] = Study(
                    results_dir=results_dir,
                    train=train,
                    progress=progress,
                    **_without_useless_weights({**shared, **_parameters(point)}, self.points),
                )

    @property
    def first(self) -> Study:
        """The study of the first point, for what all have in common."""
        return self._studies[_key(self.points[0])]

    @property
    def name(self) -> str:
        """Of sizes, pretrainings and seeds: figures go into a folder of this name."""
        settings = [study.settings for study in self._studies.values()]
        sizes = "-".join(dict.fromkeys(s.size for s in settings))
        pretrainings = "-".join(dict.fromkeys(s.pretraining for s in settings))
        seeds = "-".join(dict.fromkeys(str(s.seed) for s in settings))
        return f"{sizes}-{pretrainings}-{self.first.name}-seed{seeds}"

    @property
    def results_dir(self) -> Path:
        """Where records, figures and tables go."""
        return self.first.store.root

    @property
    def label(self) -> str:
        """What must stand beside the accuracies, empty where nothing must."""
        labels = dict.fromkeys(study.settings.label for study in self._studies.values())
        return "; ".join(label for label in labels if label)

    def plan(self) -> Plan:
        """What ``run`` will do, what is done already, and about how long it will take.

        Raises:
            ConfigurationError: for a point that cannot be built.
        """
        plans: dict[tuple, Plan] = {}
        # Points that differ in inference alone share a training.
        trained: set[str] = set()
        for key, study in self._studies.items():
            hashes = {
                point["rung"]: study.experiment.config_hash(point["rung"])
                for point in self.points
                if _key(point) == key
            }
            before = [rung for rung, known in hashes.items() if known in trained]
            plans[key] = study.plan(list(hashes), trained_before=before)
            trained.update(hashes.values())
        rows = []
        for point in self.points:
            row = plans[_key(point)].table.loc[point["rung"]]
            rows.append({**{name: _shown(value) for name, value in point.items()}, **row})
        table = pd.DataFrame(rows)
        first = plans[_key(self.points[0])]
        if len(plans) == 1:
            return replace(first, table=table)
        # Studies that differ in a seed share one pretraining.
        before = {
            study.settings.mim: plans[key]
            for key, study in self._studies.items()
            if plans[key].before
        }
        seconds = sum(plan.seconds for plan in plans.values())
        seconds += sum(plan.before_seconds for plan in before.values())
        said = [plan.before for plan in before.values() if plan.before != first.before]
        text = "\n\n".join(
            [
                f"{len(self.points)} runs. The first study: {first.text}",
                *said,
                f"What is left of all together: **about {format_seconds(seconds)}**.",
            ]
        )
        return Plan(text, table, seconds)

    def run(self) -> list[SweepRun]:
        """Runs every point, as far as it is not done already, in the order given.

        All are trained and evaluated before any is timed, so that they are timed in turns.
        """
        self._learn()
        pairs = self._pairs()
        time_missing([(study, point["rung"]) for point, study in pairs])
        return [SweepRun(point, study, study.result(point["rung"])) for point, study in pairs]

    def learn(self) -> list[RungResult]:
        """``run`` without timing, whose place in the results is empty where none was there."""
        self._learn()
        return [study.result(point["rung"]) for point, study in self._pairs()]

    def _pairs(self) -> list[tuple[Point, Study]]:
        return [(point, self._studies[_key(point)]) for point in self.points]

    def _learn(self) -> None:
        pairs = self._pairs()
        for point, study in pairs:
            study.experiment.check(point["rung"])
        self._learn_side_by_side(pairs)
        for number, (point, study) in enumerate(pairs, start=1):
            if len(self._studies) > 1:
                said = ", ".join(f"{name} {_shown(value)}" for name, value in point.items())
                study.experiment.say(f"Run {number} of {len(self.points)}: {said}")
            study.learn(point["rung"])

    def _learn_side_by_side(self, pairs: Sequence[tuple[Point, Study]]) -> None:
        """Does what is left where that is best done several at once."""
        if self._jobs == 1:
            return
        # Points that differ in inference alone share a training.
        left = {
            study.experiment.config_hash(point["rung"]): (study, point["rung"])
            for point, study in pairs
            if not study.is_learnt(point["rung"])
        }
        runs = list(left.values())
        if len(runs) < 2:
            return
        jobs = self._jobs or default_jobs(runs, seconds=lambda: self.plan().seconds)
        if jobs > 1:
            learn_side_by_side(runs, jobs=min(jobs, len(runs)))

    def note(self, runs: Sequence[SweepRun]) -> str:
        """What must stand beside accuracies and FPS of ``runs``; empty where nothing must."""
        trained = any(run.result.evaluation is not None for run in runs)
        seeds = {run.study.settings.seed for run in runs}
        alone = "one seed, which settles no difference" if trained and len(seeds) == 1 else ""
        notes = (self.label, alone, apart([run.result.timing for run in runs]))
        return "; ".join(note for note in notes if note)

    def of_first_study(self, runs: Sequence[SweepRun]) -> list[RungResult]:
        """The results among ``runs`` that ``first`` can show images and curves of."""
        return [run.result for run in runs if run.study is self.first]


def to_frame(runs: Sequence[SweepRun]) -> pd.DataFrame:
    """One row for each run: its parameters, and what was measured under this library's names.

    Columns ``rung``, ``step``, ``size``, ``pretraining``, ``dataset``, ``seed``, ``masking`` and
    ``inference_masking``, and whatever else the points differ in;
    then costs (``params_m``, ``gmacs``, ``fps``, ``fps_end_to_end``, ``mode``, ``sampler``,
    ``attention``, ``machine``), accuracy in percent (the task's ``figures``; empty where
    nothing was trained) and ``steps``, ``train_minutes``, ``peak_memory`` (GiB) of the training.
    """
    return pd.DataFrame([_row(run) for run in runs])


def _row(run: SweepRun) -> dict[str, Any]:
    settings, result = run.study.settings, run.result
    timing, rung = result.timing, LADDER[result.rung]
    row: dict[str, Any] = {
        "rung": result.rung,
        "step": rung.step,
        "size": settings.size,
        "pretraining": settings.pretraining,
        "dataset": settings.dataset,
        "seed": settings.seed,
        "masking": run.masking,
        "inference_masking": run.inference_masking,
    }
    row |= {name: _shown(value) for name, value in run.point.items() if name not in row}
    row |= {
        "params_m": timing.params_m,
        "gmacs": timing.gmacs,
        "fps": timing.fps_model,
        "fps_end_to_end": timing.fps_end_to_end,
    }
    evaluation = result.evaluation
    for name in FIGURES[settings.task]:
        row[name] = evaluation.metrics[name] if evaluation is not None else float("nan")
    if result.training is not None:
        row |= {
            "steps": result.training.steps,
            "train_minutes": result.training.wall_time_s / 60,
            "peak_memory": result.training.peak_memory_mib / 1024,
        }
    said = f"{timing.mode}, {timing.dtype}"
    if rung.has_deformable_attention:
        said += f", {timing.sampler} sampler"
    return row | {"mode": said, "attention": timing.attention_kernel, "machine": timing.machine}


def _values(name: str, given: str | Sequence[Any]) -> Sequence[Any]:
    if name == "rung":
        return parse_rungs(given)
    if name == "seed":
        return parse_seeds(given)
    return [item.strip() for item in given.split(",")] if isinstance(given, str) else list(given)


def _exists(point: Point) -> bool:
    size, pretraining = point.get("size"), point.get("pretraining")
    return size is None or pretraining not in TIMM_NAMES or has_encoder(size, pretraining)


def _parameters(point: Point) -> dict[str, Any]:
    return {name: value for name, value in point.items() if name != "rung"}


def _without_useless_weights(parameters: dict[str, Any], points: Sequence[Point]) -> dict[str, Any]:
    """Where encoders of several kinds are compared, ``weights`` are for the published ones."""
    kinds = {(point.get("size"), point.get("pretraining")) for point in points}
    pretraining = parameters.get("pretraining", "auto")
    is_own = pretraining in OWN_PRETRAININGS
    is_own = is_own or (pretraining == "auto" and parameters.get("size") in OWN_SIZES)
    return parameters | {"weights": None} if len(kinds) > 1 and is_own else parameters


def _key(point: Point) -> tuple:
    return tuple((name, _shown(value)) for name, value in sorted(_parameters(point).items()))


def _shown(value: object) -> object:
    """Sequences as texts, so that they can be told apart and stand in a table."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else value
