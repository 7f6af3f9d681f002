"""A run: one rung, one seed, one configuration. Trained, evaluated and timed, a record of each.

What is finished is found again and not repeated; what was interrupted goes on from its last state.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from eomtlib.core.console import counted
from eomtlib.core.errors import EomtlibError
from eomtlib.core.files.holding import HELD_FILE, held
from eomtlib.core.machine import distributed
from eomtlib.core.machine.memory import PeakMemory
from eomtlib.core.words import ACCURACIES, FIGURES, OWN_SIZES
from eomtlib.evaluation.evaluate import evaluate
from eomtlib.evaluation.speed import ModelTiming, time_model
from eomtlib.evaluation.worst_images import WorstImages
from eomtlib.models.checkpoints import save_model
from eomtlib.models.checkpoints.own import MODEL
from eomtlib.models.parts.deformable_attention import set_sampler
from eomtlib.study.records.kinds import EvaluationRecord, TimingRecord, TrainingRecord
from eomtlib.study.records.store import ResultStore, RunResult
from eomtlib.study.runs.fitting import begin, fit_options
from eomtlib.study.runs.identity import Identity
from eomtlib.study.runs.making import Maker
from eomtlib.study.runs.materials import Materials
from eomtlib.study.runs.writing import evaluation_record, timing_record, training_record
from eomtlib.training.duration import parse_duration
from eomtlib.training.loop.fit import FitResult, fit, log_figures, measure_step
from eomtlib.training.loop.plan_file import read_plan, saved_steps
from eomtlib.training.loop.resuming import forget_states, states
from eomtlib.training.loop.segmentation_module import SegmentationModule

# At most so long for each figure: our own sizes are steady soon; a large model's forward pass on a
# CPU takes many seconds.
_TIMING_SECONDS = {True: 4.0, False: 16.0}


class Run:
    """One rung under one configuration.

    Args:
        rung: its name.
        materials: data and weights, and with them the settings.
        store: where records go, and weights and curves beside them.
        train: False computes parameters, GMACs and FPS only.
        jobs: trainings at once on this machine, this one among them.
    """

    def __init__(
        self,
        rung: str,
        materials: Materials,
        store: ResultStore,
        *,
        train: bool = True,
        jobs: int = 1,
    ) -> None:
        self.identity = Identity(rung, materials)
        self.maker = Maker(self.identity)
        self.materials = materials
        self.settings = materials.settings
        self.store = store
        self._train, self._jobs = train, jobs

    @property
    def rung(self) -> str:
        """Its name."""
        return self.identity.name

    @property
    def folder(self) -> Path:
        """Where its weights, curves and the state to go on from are."""
        # Where they lay in earlier versions.
        earlier = self.store.root / "runs" / self.identity.folder
        return earlier if earlier.is_dir() else self.store.root / self.identity.folder

    # What is there

    def result(self) -> RunResult:
        """Its records, as far as they are there."""
        return distributed.on_first(self._found)

    def finished(self) -> tuple[str, ...]:
        """The kinds of records of which none is missing."""
        return self._complete(self.result())

    def _complete(self, found: RunResult) -> tuple[str, ...]:
        there = {
            "training": found.training is not None,
            "evaluation": found.evaluation is not None,
            "timing": not self._untimed(found),
        }
        return tuple(kind for kind, complete in there.items() if complete)

    def is_learnt(self) -> bool:
        """Whether ``learn`` has nothing left to do."""
        return not self._train or {"training", "evaluation"} <= set(self.finished())

    def missing_timings(self) -> list[tuple[str, str]]:
        """The modes and samplers that are still to be timed; asked by the first process alone."""
        return self._untimed(self._found())

    def _found(self) -> RunResult:
        training = self.store.find("training", key=self.identity.training_key)
        if not (self.folder / MODEL / "config.json").is_file():
            training = None
        evaluation = training and self.store.find(
            "evaluation", key=self.identity.evaluation_key(training.id), variant=""
        )
        timings = [
            self.store.records("timing", key=self.identity.timing_key(mode, sampler))
            for mode, sampler in self.identity.variants
        ]
        return RunResult(
            training,
            evaluation,
            tuple(record for records in timings for record in records),
            None if training is None else self.folder,
        )

    def _untimed(self, found: RunResult) -> list[tuple[str, str]]:
        timed = {(timing.mode, timing.sampler) for timing in found.timings}
        return [variant for variant in self.identity.variants if variant not in timed]

    # Doing it

    def learn(self, *, wait: bool = True) -> bool:
        """Trains and evaluates, as far as that is asked for and not done already.

        Args:
            wait: where another process is at this run, whether to wait and take what it leaves.

        Returns:
            Whether it is done; False where another process is at it and is not waited for.
        """
        if self.is_learnt():
            self._learn()
            return True
        with held(self.folder / HELD_FILE, name=self.rung, say=self.say, wait=wait) as is_mine:
            if is_mine:
                self._learn()
            return is_mine

    def _learn(self) -> None:
        found = self.result()
        if found.training is not None:
            # A kill between the record and this line leaves it.
            forget_states(self.folder)
        training, evaluation = found.training, found.evaluation
        if self._train and training is None:
            self._say_why_anew()
            training = self.train()
        if training is not None and evaluation is None:
            evaluation = self.evaluate(training)
            figure = FIGURES[self.settings.task][0]
            self.say(f"{self.rung}: {ACCURACIES[figure]} {evaluation.metrics[figure]:.1f}.")

    def train(self) -> TrainingRecord:
        """Trains to the end of the plan, or goes on with it, and keeps the weights."""
        s, folder = self.settings, self.folder
        self.materials.encoder_weights()  # no part of this training's time and memory
        steps = distributed.on_first(lambda: saved_steps(folder)) or self._steps()
        self.say(
            f"{self.rung}: {'going on with' if states(folder) else 'training'} "
            f"{counted(steps, 'step')} "
            f"of batch {s.batch_size} at {s.image_size[0]}×{s.image_size[1]}."
        )
        with PeakMemory(s.device) as memory:
            module = self.maker.module(steps)
            multiplied = self.maker.products(module.model)
            distributed.on_first(
                lambda: begin(self.identity, folder, steps=steps, products=multiplied)
            )
            result = fit(module, fit_options(self.maker, folder, steps=steps))
        return distributed.on_first(partial(self._finish, module, result, memory))

    def _finish(
        self, module: SegmentationModule, result: FitResult, memory: PeakMemory
    ) -> TrainingRecord:
        """Keeps the weights of a training that has ended, and writes it down."""
        folder = self.folder
        model = module.final_model.cpu().eval()
        try:
            save_model(folder / MODEL, model, self.identity.model_config())
        except OSError as error:
            kept = ", ".join(path.name for path in states(folder)) or "nothing"
            raise EomtlibError(
                f"{folder}: the weights cannot be written ({error.strerror}). Of the training "
                f"{kept} is kept; make room and run again to go on."
            ) from error
        record = training_record(
            self.maker,
            model,
            result,
            memory,
            folder=folder.relative_to(self.store.root),
            plan=read_plan(folder),
            jobs=self._jobs,
        )
        record = self.store.write(record)
        forget_states(folder)
        return record

    def evaluate(self, training: TrainingRecord) -> EvaluationRecord:
        """Evaluates the weights of a finished training on the validation images.

        Where there are several processes, each evaluates its share of the images.
        """
        record = self._evaluated(self.folder / MODEL, training.id)
        return distributed.on_first(lambda: self._keep_evaluation(record, training))

    def standing(self, timings: Sequence[TimingRecord]) -> RunResult:
        """Its records; of a training that has not ended, what its last state comes to.

        That evaluation is written nowhere. There is none where there is no state.

        Args:
            timings: to stand beside it.
        """
        if self.result().training is not None:
            self.learn(wait=False)  # it may have ended without time for its evaluation
        found, newest = self.result(), states(self.folder)[:1]
        if found.training is None and newest:
            step = torch.load(newest[0], mmap=True, weights_only=True)["global_step"]
            label = f"step {step:,} of {saved_steps(self.folder):,}"
            evaluation = replace(self._evaluated(self.folder, ""), label=label)
            found = replace(found, evaluation=evaluation, folder=self.folder)
        return replace(found, timings=tuple(timings))

    def _evaluated(self, path: Path, training_id: str) -> EvaluationRecord:
        s = self.settings
        gc.collect()  # a trained module and its trainer refer to each other
        key = self.identity.evaluation_key(training_id)
        worst = WorstImages(s.task, self.materials.classes)
        result = evaluate(
            self.maker.segmenter(self.maker.trained(path)),
            self.maker.val_loader(key.num_images),
            classes=self.materials.classes,
            progress=self.materials.progress,
            watchers=[worst],
        )
        return evaluation_record(self.maker, key, result, worst)

    def _keep_evaluation(
        self, record: EvaluationRecord, training: TrainingRecord
    ) -> EvaluationRecord:
        written = self.store.write(record)
        figures = {name: record.metrics[name] for name in FIGURES[self.settings.task]}
        options = fit_options(self.maker, self.folder, steps=training.steps)
        log_figures(options, figures, step=training.steps)
        return written

    def time(self, *, mode: str, sampler: str, share: float = 1.0) -> ModelTiming:
        """Times it, with its trained weights where there are some; nothing is recorded.

        Args:
            mode: of ``identity.variants``.
            sampler: likewise.
            share: of the time that a whole timing may take.
        """
        s = self.settings
        if (self.folder / MODEL).is_dir():
            model = self.maker.trained(self.folder / MODEL)
            model.set_image_size(s.cost_image_size)
        else:
            model = self.maker.model(s.cost_image_size, load_weights=False)
        set_sampler(model, sampler)
        timing = time_model(
            self.maker.segmenter(model, folded=True, mode=mode),
            self.materials.val_set.read(0)[0],
            max_seconds=share * _TIMING_SECONDS[s.size in OWN_SIZES],
        )
        # Four rungs share one code object, and compiled variants of all would add up.
        torch.compiler.reset()
        return timing

    def timing_record(
        self, rounds: Sequence[ModelTiming], *, mode: str, sampler: str, session: str
    ) -> TimingRecord:
        """What was timed in all rounds, beside what the model costs in numbers; not written yet."""
        return timing_record(self.maker, rounds, mode=mode, sampler=sampler, session=session)

    def nearest_training(self) -> tuple[TrainingRecord, tuple[str, ...]] | None:
        """The finished training that differs in the least, and in what; the newest of several."""
        key = self.identity.training_key
        others = [(r, key.differences(r.key)) for r in self.store.records("training")]
        return min(reversed(others), key=lambda other: len(other[1]), default=None)

    def _say_why_anew(self) -> None:
        nearest = distributed.on_first(self.nearest_training)
        if nearest and nearest[1] and set(nearest[1]) <= {"data", "classes"}:
            record = nearest[0]
            if "data" in record.key.unsaid:
                what = "whose record does not say which data it learned from"
            else:
                what = "learned from other data: images, masks, classes or annotations have changed"
            self.say(f"{self.rung}: trained anew, for {record.id} of {record.created[:10]} {what}.")

    def say(self, text: str) -> None:
        """Prints a notice, where notices are shown."""
        self.materials.say(text)

    def _steps(self) -> int:
        s = self.settings
        steps = parse_duration(s.duration).steps(
            samples=len(self.materials.train_set),
            batch_size=s.batch_size,
            seconds_per_step=lambda: measure_step(
                self.maker.module(1), device=s.device, precision=s.precision
            ),
        )
        return distributed.gathered(steps)[0]
