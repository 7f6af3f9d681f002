"""One rung under one configuration: trained, evaluated and timed, a record of each."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from eomtlib.core import distributed
from eomtlib.core.environment import environment
from eomtlib.core.words import OWN_SIZES
from eomtlib.data.feed.loaders import default_workers, eval_loader
from eomtlib.evaluation.costs import PeakMemory, count_parameters, merge_timings
from eomtlib.evaluation.evaluate import evaluate
from eomtlib.evaluation.timing import TIMING_METHOD, ModelTiming, time_model
from eomtlib.models.checkpoints import load_model, save_model
from eomtlib.study.records import EvaluationRecord, TimingRecord, TrainingRecord
from eomtlib.study.run_setup import RunSetup
from eomtlib.study.settings import Settings
from eomtlib.study.store import ResultStore
from eomtlib.training.duration import parse_duration
from eomtlib.training.fit import (
    RESUME_FILE,
    FitOptions,
    FitResult,
    fit,
    measure_step,
    save_steps,
    saved_steps,
)
from eomtlib.training.module import SegmentationModule
from eomtlib.training.pretraining import find_pretrained, pretrain

# At most so long for each figure: our own sizes are steady soon; a large model's forward pass on a
# CPU takes many seconds.
_TIMING_SECONDS = {True: 6.0, False: 16.0}


class Experiment(RunSetup):
    """What is done to the rungs of one study.

    Args:
        settings: every parameter.
        store: where records go, and weights and curves beside them.
        progress: whether progress bars and notices are shown.

    Raises:
        ConfigurationError, DataError, CheckpointError: when data or weights cannot be used; nothing
            is written then.
    """

    def __init__(self, settings: Settings, store: ResultStore, *, progress: bool) -> None:
        super().__init__(settings)
        self.store = store
        self.progress = progress and distributed.is_first()
        self._pretrained: Path | None = None

    def run_dir(self, rung: str) -> Path:
        """Where a rung's weights, curves and checkpoint are."""
        s = self.settings
        name = f"{rung}-{s.size}-{s.pretraining}-{s.dataset}-seed{s.seed}"
        return self.store.root / "runs" / f"{name}-{self.config_hash(rung)[:8]}"

    def encoder_weights(self) -> Path | None:
        """As in ``RunSetup``; a pretraining ``mim`` is done first, once for all rungs and seeds."""
        s = self.settings
        if s.mim is None:
            return super().encoder_weights()
        if self._pretrained is None:
            self._pretrained = distributed.on_first(self._pretrain)
        return self._pretrained

    def _pretrain(self) -> Path:
        s = self.settings
        if find_pretrained(s.mim, self.store.root) is None:
            self.say(f"pretraining {s.size}: {s.mim.steps} steps of masked images, once.")
        return pretrain(
            s.mim,
            results_dir=self.store.root,
            device=s.device,
            precision=s.precision,
            workers=default_workers(self.train_set) if s.workers is None else s.workers,
            progress=self.progress,
        )

    def train(self, rung: str) -> TrainingRecord:
        """Trains a rung to the end of the plan, or goes on with it, and keeps its weights."""
        run_dir, s = self.run_dir(rung), self.settings
        self.encoder_weights()  # a pretraining is no part of this training's time and memory
        steps = distributed.on_first(lambda: saved_steps(run_dir)) or self._steps(rung)
        resuming = (run_dir / RESUME_FILE).is_file()
        self.say(
            f"{rung}: {'going on with' if resuming else 'training'} {steps} steps "
            f"of batch {s.batch_size} at {_times(s.image_size)}."
        )
        with PeakMemory(s.device) as memory:
            module = self.module(rung, steps)
            distributed.on_first(lambda: save_steps(run_dir, steps))
            result = fit(
                module,
                FitOptions(
                    run_dir=run_dir,
                    device=s.device,
                    precision=s.precision,
                    checkpoint_every=s.checkpoint_every,
                    loggers=s.loggers,
                    progress=self.progress,
                    name=run_dir.name,
                ),
            )
        return distributed.on_first(partial(self._finish, rung, module, result, memory))

    def _finish(
        self, rung: str, module: SegmentationModule, result: FitResult, memory: PeakMemory
    ) -> TrainingRecord:
        """Keeps the weights of a training that has ended, and writes it down."""
        run_dir, s, steps = self.run_dir(rung), self.settings, module.plan.steps
        model = module.model.cpu().eval()
        save_model(run_dir / "model", model, self.model_config(rung))
        record = TrainingRecord(
            **self._identity(rung),
            config=self.config(rung),
            config_hash=self.config_hash(rung),
            dataset=s.dataset,
            task=s.task,
            image_size=s.image_size,
            steps=steps,
            epochs=steps * s.batch_size / len(self.train_set),
            batch_size=s.batch_size,
            seed=s.seed,
            wall_time_s=result.seconds,
            peak_memory_mib=memory.mib,
            peak_memory_method=memory.method,
            parameters_m=count_parameters(model) / 1e6,
            final_loss=result.final_loss,
            surplus_segments=result.surplus_segments,
            activation_checkpointing=s.activation_checkpointing,
            interrupted_resumes=result.resumes,
            label=s.label,
            checkpoint=(run_dir / "model").relative_to(self.store.root).as_posix(),
            log=(run_dir / "logs").relative_to(self.store.root).as_posix(),
            pretraining_used=_used(s),
            processes=distributed.world_size(),
            gradient_accumulation=s.gradient_accumulation,
        )
        self.store.write(record)
        # What is finished keeps its weights, not the optimizer's state.
        (run_dir / RESUME_FILE).unlink(missing_ok=True)
        return record

    def evaluate(self, rung: str, training: TrainingRecord) -> EvaluationRecord:
        """Evaluates the weights of a finished training on the validation images.

        Where there are several processes, each evaluates its share of the images.
        """
        s = self.settings
        gc.collect()  # a trained module and its trainer refer to each other
        model, _ = load_model(self.run_dir(rung) / "model")
        model.to(s.device)
        loader = eval_loader(
            self.val_set,
            canvas=s.image_size,
            batch_size=s.batch_size,
            num_workers=s.workers,
            limit=self.num_val,
            pin_memory=s.device.startswith("cuda"),
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            in_windows=self.task.in_windows,
        )
        result = evaluate(
            self.predictor(rung, model),
            loader,
            task=s.task,
            classes=self.classes,
            input_size=s.image_size,
            device=s.device,
            progress=self.progress,
        )
        record = EvaluationRecord(
            **self._identity(rung),
            training_id=training.id,
            dataset=s.dataset,
            split="val",
            num_images=self.num_val,
            task=s.task,
            masking=self.inference_masking(rung),
            input_size=s.image_size,
            metrics=result.metrics,
            per_class=result.per_class,
            label=s.label,
        )
        return distributed.on_first(lambda: self._written(record))

    def _written(self, record: EvaluationRecord) -> EvaluationRecord:
        self.store.write(record)
        return record

    def time(self, rung: str, *, mode: str, sampler: str, share: float = 1.0) -> ModelTiming:
        """Times a rung, with its trained weights where there are some; nothing is recorded.

        Args:
            rung: its name.
            mode: of ``self.variants(rung)``.
            sampler: likewise.
            share: of the time that a whole timing may take.
        """
        s = self.settings
        if (self.run_dir(rung) / "model").is_dir():
            model, _ = load_model(self.run_dir(rung) / "model")
            model.set_image_size(s.cost_image_size)
        else:
            model = self.build(rung, s.cost_image_size, load_weights=False)
        image, _ = self.val_set.read(0)
        timing = time_model(
            model,
            image,
            fit=self.task.transform(s.cost_image_size).fit,
            post_process=partial(self.post_process, input_size=s.cost_image_size),
            device=s.device,
            precision=s.precision,
            mode=mode,
            sampler=sampler,
            masked=self.is_masked(rung),
            max_seconds=share * _TIMING_SECONDS[s.size in OWN_SIZES],
        )
        # Four rungs share one code object, and compiled variants of all would add up.
        torch.compiler.reset()
        return timing

    def record_timing(
        self, rung: str, rounds: Sequence[ModelTiming], *, mode: str, sampler: str, session: str
    ) -> TimingRecord:
        """Writes down what was timed in all rounds, beside what the model costs in numbers."""
        s = self.settings
        alone = merge_timings([timing.alone for timing in rounds])
        whole = merge_timings([timing.end_to_end for timing in rounds])
        params_m, gmacs = self.costs(rung, s.cost_image_size)
        record = TimingRecord(
            **self._identity(rung),
            **self.timed_as(rung),
            params_m=params_m,
            gmacs=gmacs,
            fps_model=alone.fps,
            fps_end_to_end=whole.fps,
            samples_model_s=alone.samples_s,
            samples_end_to_end_s=whole.samples_s,
            quartiles_model_s=alone.quartiles_s,
            quartiles_end_to_end_s=whole.quartiles_s,
            mode=mode,
            sampler=sampler,
            method=TIMING_METHOD,
            dtype=s.precision,
            attention_kernel=rounds[0].attention_kernel,
            batch_size=alone.batch_size,
            session=session,
        )
        self.store.write(record)
        return record

    def say(self, text: str) -> None:
        """Prints a notice, where notices are shown."""
        if self.progress:
            print(text, flush=True)

    def _steps(self, rung: str) -> int:
        s = self.settings
        steps = parse_duration(s.duration).steps(
            samples=len(self.train_set),
            batch_size=s.batch_size,
            seconds_per_step=lambda: measure_step(
                self.module(rung, 1), device=s.device, precision=s.precision
            ),
        )
        return distributed.gathered(steps)[0]

    def _identity(self, rung: str) -> dict[str, Any]:
        s = self.settings
        return {
            "rung": rung,
            "size": s.size,
            "pretraining": s.pretraining,
            "environment": environment(s.device),
        }


def _used(settings: Settings) -> str:
    if settings.checkpoint is not None:
        return f"the checkpoint {settings.checkpoint.name}, {settings.pretraining}"
    if settings.mim is not None:
        return f"mim on {Path(settings.mim.images).name}, {settings.mim.steps} steps"
    return settings.weights.name if settings.weights else settings.pretraining


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
