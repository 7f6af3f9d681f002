"""A study: the runs of all combinations of what is varied, and what came of them.

Studies share records: what one notebook has trained another finds again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from eomtlib.core.console import counted
from eomtlib.core.errors import ConfigurationError, EomtlibError, check_choice
from eomtlib.core.files.atomic_files import config_hash
from eomtlib.core.machine.environment import environment
from eomtlib.core.structures import ClassInfo
from eomtlib.data.registry import open_dataset
from eomtlib.evaluation.speed import TIMING_METHOD
from eomtlib.models.ladder import LADDER
from eomtlib.study.parameters.overriding import axes
from eomtlib.study.parameters.resolving import resolve_settings
from eomtlib.study.parameters.settings import Settings, StudyParameters
from eomtlib.study.planning import Plan, make_plan
from eomtlib.study.points import Point, as_text, grid, without_useless_weights
from eomtlib.study.records.kinds import TimingRecord
from eomtlib.study.records.store import ResultStore, RunResult, in_turns
from eomtlib.study.runs.materials import Materials
from eomtlib.study.runs.run import Run
from eomtlib.study.side_by_side import check_jobs, default_jobs, learn_side_by_side
from eomtlib.study.timing_rounds import time_missing

_LONGEST_PART = 100
"""Letters of a folder's name that sizes, pretrainings or seeds may take; file systems have 255."""


class Study:
    """Runs, their plan, the doing, and what came out.

    Args:
        points: as ``grid`` returns them, or written out; by default ``rungs`` × ``seeds`` × what
            ``vary`` says, which may vary the rung as well.
        rungs, seeds, vary, jobs, train, wait, results_dir: as ``StudyParameters`` describes them.
            With several ``jobs`` each training has a process of its own, and a script must start
            them under ``if __name__ == "__main__"``.
        progress: whether progress bars and notices are shown.
        shared: of ``Settings``, and hyper-parameters, for all runs; a point's own come first.

    Attributes:
        points: what tells each run from the others.
        factors: the names that ``vary`` has, in its order.
        runs: in the same order.

    Raises:
        ConfigurationError, DataError, CheckpointError: when a parameter, data or weights cannot be
            used; nothing has been written then.
    """

    def __init__(
        self,
        points: Sequence[Point] | None = None,
        *,
        rungs: str | Sequence[str] = "all",
        seeds: str | int | Sequence[int] = "0",
        vary: str | Mapping[str, Any] = "",
        jobs: int | str = 1,
        train: bool | str = True,
        wait: bool | str = True,
        results_dir: str | Path = "results/runs",
        progress: bool = True,
        **shared: Any,
    ) -> None:
        given = StudyParameters(
            rungs=rungs,
            seeds=seeds,
            vary=vary,
            jobs=jobs,
            train=train,
            wait=wait,
            results_dir=results_dir,
        )
        varied = axes("vary", given.vary)
        if varied and points is not None:
            raise ConfigurationError(f"vary={given.vary!r} and points both say what is run.")
        if "seed" in varied:
            raise ConfigurationError(f"vary={given.vary!r}: seeds are a parameter of their own.")
        if points is None:
            points = grid(**{"seed": given.seeds, "rung": given.rungs} | varied)
        self.factors = tuple(varied)
        if not points:
            raise ConfigurationError("a study needs at least one point; name a model to run.")
        self.points = [{name: as_text(value) for name, value in point.items()} for point in points]
        self.train, self._wait = given.train, given.wait
        self.store = ResultStore(given.results_dir)
        self._jobs = check_jobs(given.jobs)
        # Rungs of one configuration share it: resolving may ask the network for weights.
        settings_of: dict[tuple, Settings] = {}
        materials: dict[Settings, Materials] = {}
        # Those that differ in a seed or a model read the same data, which need not be in memory
        # twice. The next study opens them anew: they may have changed.
        open_data = lru_cache(maxsize=4)(open_dataset)
        self.runs: list[Run] = []
        for point, shown in zip(points, self.points, strict=True):
            own = {name: value for name, value in point.items() if name != "rung"}
            rung = check_choice("rung", point["rung"], LADDER)
            given = without_useless_weights({**shared, **own}, points)
            # On the papers' data a frozen encoder's decoder is trained for other numbers of epochs.
            has_epochs = given.get("dataset") not in (None, "", "shapes")
            trained_as = rung if LADDER[rung].freeze == "encoder" and has_epochs else "eomt"
            key = (trained_as, *((name, shown[name]) for name in sorted(own)))
            if key not in settings_of:
                settings_of[key] = resolve_settings(rung=trained_as, **given)
            settings = settings_of[key]
            if settings not in materials:
                materials[settings] = Materials(
                    settings,
                    results_dir=self.store.root,
                    progress=progress,
                    open_data=open_data,
                )
            self.runs.append(Run(rung, materials[settings], self.store, train=self.train))
        if shared.get("weights") and all(run.settings.weights is None for run in self.runs):
            raise ConfigurationError(
                f"weights={str(shared['weights'])!r} has no use: encoders of several kinds are "
                "compared, and weights are for published ones, of which there are none. Leave it "
                "empty, or run one size with pretraining='mim' or 'none' by itself."
            )

    @property
    def settings(self) -> Settings:
        """Of the first run, for what all have in common."""
        return self.runs[0].settings

    @property
    def classes(self) -> Sequence[ClassInfo]:
        """Of the first run's data set."""
        return self.runs[0].materials.classes

    @property
    def name(self) -> str:
        """Of sizes, pretrainings, data, length and seeds: figures go into a folder of this name.

        Six digits of all that decides its trainings and evaluations keep studies apart that differ
        in anything else, such as the batch size.
        """
        s, every = self.settings, [run.settings for run in self.runs]
        varied = [
            _joined([str(getattr(one, name)) for one in every], name)
            for name in ("size", "pretraining", "seed")
        ]
        size = "x".join(str(side) for side in s.image_size)
        task = "" if s.task == "panoptic" else f"-{s.task}"
        named = f"{varied[0]}-{varied[1]}-{s.dataset}{task}-{size}-{s.duration}-seed{varied[2]}"
        identities = [run.identity for run in self.runs]
        keys = [(i.training_key.config(), asdict(i.evaluation_key(""))) for i in identities]
        return f"{named}-{config_hash({'runs': keys})[:6]}"

    @property
    def results_dir(self) -> Path:
        """Where records, figures and tables go."""
        return self.store.root

    @property
    def machine(self) -> str:
        """What its timings belong to."""
        return environment(self.settings.device).machine

    @property
    def label(self) -> str:
        """What must stand beside the accuracies, empty where nothing must."""
        return "; ".join(dict.fromkeys(r.settings.label for r in self.runs if r.settings.label))

    @property
    def results(self) -> list[RunResult]:
        """The records of every run, as far as they are there, with timings of one session."""
        found = [run.result() for run in self.runs]
        timings = in_turns([result.timings for result in found])
        return [replace(r, timings=own) for r, own in zip(found, timings, strict=True)]

    @property
    def first_runs(self) -> list[Run]:
        """Those of the first configuration, which differ in the rung alone."""
        return [run for run in self.runs if run.settings == self.settings]

    def plan(self, *, timed: bool = True) -> Plan:
        """What ``run`` will do, what is done already, and about how long it will take.

        Args:
            timed: False for what ``learn`` will do.

        Raises:
            ConfigurationError: for a run that cannot be built.
        """
        self._check()
        return make_plan(
            self.runs, self.points, train=self.train, timed=timed, at_once=self._at_once
        )

    def run(self) -> list[RunResult]:
        """Does every run, as far as it is not done already, in the order given.

        All are trained and evaluated before any is timed, so that they are timed in turns.
        """
        self.learn()
        time_missing(self.runs)
        return self.results

    def learn(self) -> list[RunResult]:
        """``run`` without timing, whose place in the results is empty where none was there.

        What other processes are at is left to them, and waited for last.

        Raises:
            EomtlibError: where that is not to be waited for (``wait``).
        """
        self._check()
        self._say_what_is_found()
        self._learn_side_by_side()
        elsewhere: list[Run] = []
        for number, (run, point) in enumerate(zip(self.runs, self.points, strict=True), start=1):
            if len(self.first_runs) < len(self.runs) and not run.is_learnt():
                said = ", ".join(f"{name} {value}" for name, value in point.items())
                run.say(f"Run {number} of {len(self.runs)}: {said}")
            if not run.learn(wait=False):
                elsewhere.append(run)
        if elsewhere and not self._wait:
            raise EomtlibError(
                f"other processes are at {len(elsewhere)} of {len(self.runs)} run(s); the rest is "
                "done. Run again once they have ended, or without --no-wait."
            )
        for run in elsewhere:
            run.learn()
        return self.results

    def begin(self, rungs: Sequence[str], *, is_over: Callable[[], bool]) -> int:
        """Trains the runs of some rungs, all at once, until that is over; ``learn`` goes on.

        The system shares the cores among them. Each has the threads that ``learn`` would give it,
        so that both together come to the digits of ``learn`` alone.

        Args:
            rungs: their names.
            is_over: as ``learn_side_by_side`` takes it.

        Returns:
            The threads of each.
        """
        self._check()
        threads = max(1, torch.get_num_threads() // self.plan().at_once)
        if runs := [run for run in self._left() if run.rung in rungs]:
            learn_side_by_side(runs, jobs=len(runs), threads=threads, is_over=is_over)
        return threads

    def timings_here(self) -> list[TimingRecord]:
        """All timings of this machine in the results folder, whatever study made them."""
        return self.store.records("timing", machine=self.machine, method=TIMING_METHOD)

    def _say_what_is_found(self) -> None:
        """One sentence for all that need not be done again."""
        done = Counter(kind for run in self.runs for kind in run.finished())
        if done:
            counts = ", ".join(counted(number, kind) for kind, number in done.items())
            self.runs[0].say(f"Found of {counted(len(self.runs), 'run')}: {counts}.")

    def _check(self) -> None:
        for run in self.runs:
            run.maker.check()

    def _learn_side_by_side(self) -> None:
        """Does what is left where that is best done several at once."""
        if self._jobs == 1:
            return
        runs = self._left()
        if len(runs) > 1 and (jobs := self.plan().at_once) > 1:
            learn_side_by_side(runs, jobs=jobs)

    def _left(self) -> list[Run]:
        """What is not learnt, of runs that differ in inference alone and share a training one."""
        left = {r.identity.training_key.digest(): r for r in self.runs if not r.is_learnt()}
        return list(left.values())

    def _at_once(self, seconds: float) -> int:
        """How many trainings at once, of all that are left and take so long one after the other."""
        runs = self._left() if self.train else []
        jobs = self._jobs or default_jobs(runs, seconds=seconds)
        return max(1, min(jobs, len(runs)))


def _joined(values: Sequence[str], what: str) -> str:
    """What varies, as a part of a folder's name; how many there are where that becomes too long."""
    different = list(dict.fromkeys(values))
    text = "-".join(different).replace(":", "-")
    return text if len(text) <= _LONGEST_PART else f"{len(different)}-{what}s"
