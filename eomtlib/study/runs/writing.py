"""What a run writes down: the records of its training, its evaluations and its timings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eomtlib.core.machine import distributed
from eomtlib.core.machine.cpu_products import DEFAULT
from eomtlib.core.machine.environment import environment
from eomtlib.core.machine.memory import PeakMemory
from eomtlib.evaluation.costs import count_parameters
from eomtlib.evaluation.metrics.metric import Result
from eomtlib.evaluation.speed import TIMING_METHOD, ModelTiming, merge_timings
from eomtlib.evaluation.worst_images import WorstImages
from eomtlib.models.checkpoints.own import MODEL
from eomtlib.models.parts.segmentation_model import SegmentationModel
from eomtlib.study.records.evaluation_fields import measured
from eomtlib.study.records.keys import EvaluationKey
from eomtlib.study.records.kinds import EvaluationRecord, TimingRecord, TrainingRecord
from eomtlib.study.runs.identity import METHODS
from eomtlib.study.runs.making import Maker
from eomtlib.training.loop.fit import FitResult


def training_record(
    maker: Maker,
    model: SegmentationModel,
    result: FitResult,
    memory: PeakMemory,
    *,
    folder: Path,
    plan: Mapping[str, Any],
    jobs: int,
) -> TrainingRecord:
    """The record of a training that has ended.

    Args:
        maker: of the run.
        model: as trained.
        result: of the training.
        memory: that it took.
        folder: of weights and curves, from the results folder.
        plan: what was written down when it began.
        jobs: trainings at once on this machine.
    """
    s, materials, key = maker.settings, maker.materials, maker.identity.training_key
    return TrainingRecord(
        **_named(maker),
        config=key.config(),
        config_hash=key.digest(),
        dataset=s.dataset,
        task=s.task,
        image_size=s.image_size,
        steps=result.steps,
        epochs=result.steps * s.batch_size / len(materials.train_set),
        batch_size=s.batch_size,
        seed=s.seed,
        wall_time_s=result.seconds,
        validation_s=result.validation_s,
        peak_memory_mib=memory.mib,
        peak_memory_method=memory.method,
        parameters_m=count_parameters(model) / 1e6,
        final_loss=result.final_loss,
        surplus_segments=result.surplus_segments,
        skipped_steps=result.skipped_steps,
        best=result.best,
        activation_checkpointing=s.activation_checkpointing,
        interrupted_resumes=result.resumes,
        label=s.label,
        checkpoint=(folder / MODEL).as_posix(),
        log=(folder / "logs").as_posix(),
        pretraining_used=_pretraining_used(maker),
        processes=distributed.world_size(),
        gradient_accumulation=s.gradient_accumulation,
        jobs=jobs,
        skipped_images=materials.train_set.skipped,
        methods=METHODS,
        code=plan.get("code", ""),
        products=plan.get("products", DEFAULT),
    )


def evaluation_record(
    maker: Maker, key: EvaluationKey, result: Result, worst: WorstImages
) -> EvaluationRecord:
    """The record of an evaluation on validation images; all processes ask together."""
    s = maker.settings
    return EvaluationRecord(
        **measured(result, worst),
        **_named(maker),
        **asdict(key),
        dataset=s.dataset,
        split="val",
        task=s.task,
        input_size=s.image_size,
        label=s.label,
        skipped_images=maker.materials.val_set.skipped,
    )


def timing_record(
    maker: Maker, rounds: Sequence[ModelTiming], *, mode: str, sampler: str, session: str
) -> TimingRecord:
    """What was timed in all rounds, beside what the model costs in numbers."""
    s, identity = maker.settings, maker.identity
    architecture = identity.architecture
    alone = merge_timings([timing.alone for timing in rounds])
    wholes = [timing.end_to_end for timing in rounds if timing.end_to_end is not None]
    whole = merge_timings(wholes) if wholes else None
    params_m, gmacs = maker.costs(s.cost_image_size)
    own = architecture.masking == identity.rung.inference_masking
    return TimingRecord(
        **_named(maker),
        task=s.task,
        num_classes=architecture.num_classes,
        num_queries=architecture.num_queries,
        cost_image_size=s.cost_image_size,
        masking=None if own else architecture.masking,
        options=dict(architecture.options),
        params_m=params_m,
        gmacs=gmacs,
        fps_model=alone.fps,
        fps_end_to_end=whole and whole.fps,
        rounds_model_s=alone.rounds_s,
        rounds_end_to_end_s=whole.rounds_s if whole else (),
        interval_model_s=alone.interval_s,
        interval_end_to_end_s=whole and whole.interval_s,
        is_steady=alone.is_steady,
        photo_size=rounds[0].photo_size,
        mode=mode,
        sampler=sampler,
        method=TIMING_METHOD,
        dtype=s.precision,
        attention_kernel=rounds[0].attention_kernel,
        batch_size=alone.batch_size,
        session=session,
    )


def _named(maker: Maker) -> dict[str, Any]:
    s = maker.settings
    return {
        "rung": maker.identity.name,
        "size": s.size,
        "pretraining": s.pretraining,
        "environment": environment(s.device),
    }


def _pretraining_used(maker: Maker) -> str:
    s, before = maker.settings, maker.materials.pretraining
    if s.checkpoint is not None:
        return f"the checkpoint {s.checkpoint.name}, {s.pretraining}"
    if before is not None:
        return f"mim on {Path(before.images).name}, {before.steps} steps"
    return Path(s.weights).name if s.weights else s.pretraining
