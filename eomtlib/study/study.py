"""A study: one configuration in, records out.

For each rung it trains, evaluates and times, and writes one record of each. What is finished is
found again and not repeated; what was interrupted goes on from its last checkpoint.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from eomtlib.core import distributed
from eomtlib.core.environment import environment
from eomtlib.core.structures import ClassInfo
from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.data.feed.loaders import eval_loader
from eomtlib.evaluation.timing import TIMING_METHOD, fastest
from eomtlib.models.checkpoints import load_model
from eomtlib.models.encoders import timm_name
from eomtlib.models.ladder import LADDER
from eomtlib.study.experiment import Experiment
from eomtlib.study.parameters import parse_rungs, resolve_results_dir, switch
from eomtlib.study.planning import Plan, make_plan, plan_pretraining
from eomtlib.study.records import EvaluationRecord, TimingRecord, TrainingRecord
from eomtlib.study.settings import Settings, resolve_settings
from eomtlib.study.store import ResultStore
from eomtlib.study.timing_rounds import TimingJob, time_in_rounds
from eomtlib.training.fit import (
    RESUME_FILE,
    read_curves,
)
from eomtlib.training.pretraining import find_pretrained, reconstructions


@dataclass(frozen=True)
class RungResult:
    """The records of one rung.

    Attributes:
        rung: its name.
        training: None where nothing was trained.
        evaluation: None where nothing was trained.
        timing: of the architecture on this machine, in the fastest mode and with the fastest
            sampler; None where it was not timed.
        run_dir: weights and curves; None where nothing was trained.
        timings: in every mode, with every sampler.
    """

    rung: str
    training: TrainingRecord | None
    evaluation: EvaluationRecord | None
    timing: TimingRecord | None
    run_dir: Path | None
    timings: tuple[TimingRecord, ...] = ()


@dataclass(frozen=True)
class Segmentations:
    """Images and what every model makes of them, as ``plots.plot_segmentations`` takes them.

    Attributes:
        images: each ``[H, W, 3]`` uint8.
        rows: title → for each image its segment ids and the class of each id.
    """

    images: list[np.ndarray]
    rows: dict[str, list[tuple[np.ndarray, list[int]]]] = field(default_factory=dict)


class Study:
    """Trains, evaluates and times rungs of the ladder under one configuration.

    Args:
        results_dir: records, weights and curves go there, and finished work is looked for there.
        train: False computes parameters, GMACs and FPS only.
        progress: whether progress bars and notices are shown.
        parameters: as ``settings.resolve_settings`` takes them.

    Raises:
        ConfigurationError, DataError: when a parameter or the data cannot be used; nothing has
            been trained then.
    """

    def __init__(
        self,
        *,
        results_dir: str | Path = "results/runs",
        train: bool | str = True,
        progress: bool = True,
        **parameters: Any,
    ) -> None:
        settings = resolve_settings(**parameters)
        self._open(settings, results_dir=results_dir, train=train, progress=progress)

    @classmethod
    def of(cls, settings: Settings, *, results_dir: str | Path, progress: bool = True) -> Study:
        """A study that trains, of parameters that are resolved already; errors as above."""
        study = cls.__new__(cls)
        study._open(settings, results_dir=results_dir, train=True, progress=progress)
        return study

    def _open(
        self, settings: Settings, *, results_dir: str | Path, train: bool | str, progress: bool
    ) -> None:
        self.settings = settings
        self.train = switch("train", train, default=True)
        self.store = ResultStore(resolve_results_dir(results_dir))
        self.experiment = Experiment(settings, self.store, progress=progress)

    @property
    def name(self) -> str:
        """Of data and length, whatever the model and the seed."""
        return self.experiment.name

    @property
    def classes(self) -> Sequence[ClassInfo]:
        """Of the data set."""
        return self.experiment.classes

    @property
    def machine(self) -> str:
        """What its timings belong to."""
        return environment(self.settings.device).machine

    # What is about to happen

    def plan(
        self, rungs: str | Sequence[str] = "all", *, trained_before: Collection[str] = ()
    ) -> Plan:
        """Says what ``run_all`` will do, what is done already, and about how long it will take.

        Args:
            rungs: to run.
            trained_before: those whose training another study does before this one.

        Raises:
            ConfigurationError: for an unknown rung, or an image size that a rung cannot take.
        """
        chosen = parse_rungs(rungs)
        for rung in chosen:
            self.experiment.check(rung)
        done = {rung: self._finished(rung, self._found(rung)) for rung in chosen}
        plan = make_plan(
            self.settings,
            chosen,
            done=done,
            trained_before=trained_before,
            train=self.train,
            gmacs_of=lambda rung, size: self.experiment.costs(rung, size)[1],
            num_train=len(self.experiment.train_set),
            num_val=self.experiment.num_val,
        )
        mim = self.settings.mim
        if not self.train or mim is None or find_pretrained(mim, self.store.root):
            return plan
        said, seconds = plan_pretraining(self.settings)
        text = f"{plan.text}\n\n{said}"
        return replace(plan, text=text, before=said, before_seconds=seconds)

    # Doing it

    def run_all(self, rungs: str | Sequence[str] = "all") -> list[RungResult]:
        """Runs rungs one after the other, in the ladder's order, then times them in turns.

        Raises:
            ConfigurationError: for an unknown rung, or an image size that a rung cannot take.
        """
        chosen = parse_rungs(rungs)
        for rung in chosen:
            self.experiment.check(rung)
        for rung in chosen:
            self.learn(rung)
        time_missing([(self, rung) for rung in chosen])
        return [self.result(rung) for rung in chosen]

    def run(self, rung: str) -> RungResult:
        """``run_all`` of one rung."""
        return self.run_all([rung])[0]

    def learn(self, rung: str) -> None:
        """Trains and evaluates one rung, as far as that is asked for and not done already."""
        found = distributed.on_first(lambda: self._found(rung))
        done = self._finished(rung, found)
        if found["training"] is not None:
            # A kill between the record and this line leaves it.
            (self.experiment.run_dir(rung) / RESUME_FILE).unlink(missing_ok=True)
        self.experiment.say(f"{rung}: found {', '.join(done)}." if done else f"{rung}:")
        training, evaluation = found["training"], found["evaluation"]
        if self.train and training is None:
            training = self.experiment.train(rung)
        if training is not None and evaluation is None:
            evaluation = self.experiment.evaluate(rung, training)
        if evaluation is not None:
            figure = FIGURES[self.settings.task][0]
            self.experiment.say(f"{rung}: {ACCURACIES[figure]} {evaluation.metrics[figure]:.1f}.")

    def is_learnt(self, rung: str) -> bool:
        """Whether ``learn`` has nothing left to do."""
        done = self._finished(rung, self._found(rung))
        return not self.train or {"training", "evaluation"} <= set(done)

    def missing_timings(self, rung: str) -> list[TimingJob]:
        """What is still to be timed of a rung, for ``time_in_rounds``."""
        found = distributed.on_first(lambda: self._found(rung))
        timed = {(timing.mode, timing.sampler) for timing in found["timing"]}
        return [
            TimingJob(self.experiment, rung, mode=mode, sampler=sampler)
            for mode, sampler in self.experiment.variants(rung)
            if (mode, sampler) not in timed
        ]

    def result(self, rung: str) -> RungResult:
        """The records of a rung that was run."""
        found = distributed.on_first(lambda: self._found(rung))
        return RungResult(
            rung,
            found["training"],
            found["evaluation"],
            fastest(found["timing"]) if found["timing"] else None,
            None if found["training"] is None else self.experiment.run_dir(rung),
            tuple(found["timing"]),
        )

    # Looking at it

    def timings_here(self) -> list[TimingRecord]:
        """All timings of this machine in the results folder, whatever study made them."""
        return self.store.records("timing", machine=self.machine, method=TIMING_METHOD)

    def curves(self, results: Sequence[RungResult]) -> dict[str, pd.DataFrame]:
        """Rung → its logged values."""
        return {r.rung: read_curves(r.run_dir) for r in results if r.run_dir is not None}

    def segmentations(self, results: Sequence[RungResult], *, num_images: int = 4) -> Segmentations:
        """The first validation images, segmented by every trained rung, the target first."""
        count = min(num_images, len(self.experiment.val_set))
        samples = [self.experiment.val_set.read(index) for index in range(count)]
        images = [image.permute(1, 2, 0).numpy() for image, _ in samples]
        trained = [result for result in results if result.run_dir is not None]
        if not trained:
            return Segmentations(images)
        # Of overlapping instances, those of later layers lie in front.
        rows = {"target": [(s.ids.amax(0).numpy(), s.labels.tolist()) for _, s in samples]}
        loader = eval_loader(
            self.experiment.val_set,
            canvas=self.settings.image_size,
            num_workers=0,
            limit=count,
            in_windows=self.experiment.task.in_windows,
        )
        batches = list(loader)
        for result in trained:
            model, _ = load_model(result.run_dir / "model")
            model.to(self.settings.device)
            predict = self.experiment.predictor(result.rung, model)
            row = []
            for batch in batches:
                with torch.inference_mode():
                    prediction = predict(batch.images.to(self.settings.device))
                segmented = self.experiment.post_process(prediction, batch.original_sizes)[0]
                painted = self.experiment.task.paint(segmented)
                row.append((painted.ids.cpu().numpy(), painted.labels))
            rows[LADDER[result.rung].title] = row
            del model
            gc.collect()
        return Segmentations(images, rows)

    def reconstructions(self, *, num_images: int = 4) -> dict[str, list[np.ndarray]]:
        """What masked-image pretraining makes of the first validation images.

        As ``pretraining.reconstructions`` returns it; empty where this study's encoder was not
        pretrained by it.
        """
        if self.settings.mim is None:
            return {}
        count = min(num_images, len(self.experiment.val_set))
        images = [self.experiment.val_set.read(index)[0] for index in range(count)]
        return reconstructions(self.experiment.encoder_weights(), images)

    def _found(self, rung: str) -> dict[str, Any]:
        """The finished records of a rung under this configuration; None where there is none."""
        s = self.settings
        training = self.store.find("training", config_hash=self.experiment.config_hash(rung))
        if not (self.experiment.run_dir(rung) / "model" / "config.json").is_file():
            training = None
        evaluation = training and self.store.find(
            "evaluation",
            training_id=training.id,
            num_images=self.experiment.num_val,
            masking=self.experiment.inference_masking(rung),
        )
        timing = self.store.records(
            "timing",
            rung=rung,
            size=s.size,
            **self.experiment.timed_as(rung),
            dtype=s.precision,
            method=TIMING_METHOD,
            machine=self.machine,
        )
        wanted = self.experiment.variants(rung)
        architecture = timm_name(s.size, s.pretraining)
        timing = [
            record
            for record in timing
            if (record.mode, record.sampler) in wanted
            # An architecture costs what it costs, whatever its weights are.
            and timm_name(record.size, record.pretraining) == architecture
        ]
        return {"training": training, "evaluation": evaluation, "timing": timing}

    def _finished(self, rung: str, found: Mapping[str, Any]) -> tuple[str, ...]:
        """The kinds of records of which none is missing."""
        timed = {(timing.mode, timing.sampler) for timing in found["timing"]}
        complete = dict(found, timing=set(self.experiment.variants(rung)) <= timed)
        return tuple(kind for kind, there in complete.items() if there)


def time_missing(runs: Sequence[tuple[Study, str]]) -> None:
    """Times the rungs of some studies in turns, each architecture that was not timed yet once."""
    jobs = {job.identity: job for study, rung in runs for job in study.missing_timings(rung)}
    distributed.on_first(lambda: time_in_rounds(list(jobs.values())))
