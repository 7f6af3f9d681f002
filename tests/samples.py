"""Records, and parameters of a study that takes seconds, that several tests start from."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from eomtlib.core.files.atomic_files import config_hash
from eomtlib.core.machine.environment import Environment
from eomtlib.study.records.kinds import EvaluationRecord, TimingRecord, TrainingRecord

SMOKE: dict[str, Any] = {
    "size": "nano",
    "duration": "6steps",
    "batch_size": 2,
    "train_images": 12,
    "val_images": 4,
    "num_queries": 8,
    "device": "cpu",
    "workers": 0,
}

MACHINE = Environment(
    commit=None,
    python="3.12.1",
    torch="2.11",
    timm="1.0",
    lightning="2.5",
    eomtlib="0.1",
    device="Some CPU",
    cpu_count=8,
    threads=4,
    platform="Linux x86_64",
)
MODEL = {"rung": "eomt", "size": "nano", "pretraining": "none", "environment": MACHINE}


def training(**changes: Any) -> TrainingRecord:
    """A training on ``shapes``; its hash is that of its configuration."""
    values = {
        "config": {"seed": 1, "classes": ["a", "b"], "num_queries": 40, "nested": {"x": None}},
        "dataset": "shapes",
        "task": "panoptic",
        "image_size": (128, 96),
        "steps": 300,
        "epochs": 2.5,
        "batch_size": 4,
        "seed": 1,
        "wall_time_s": 61.5,
        "peak_memory_mib": 900.0,
        "parameters_m": 3.5,
        "final_loss": 1.25,
        "checkpoint": "runs/eomt/model",
    }
    values = MODEL | values | changes
    return TrainingRecord(**{"config_hash": config_hash(values["config"]), **values})


def evaluation(**changes: Any) -> EvaluationRecord:
    """An evaluation of a training called ``training-1``."""
    values = {
        "training_id": "training-1",
        "dataset": "shapes",
        "split": "val",
        "num_images": 64,
        "task": "panoptic",
        "masking": "unmasked",
        "input_size": (128, 96),
        "metrics": {"pq": 31.5, "sq": 70.0, "rq": 45.0, "pq_things": 30.0, "n": 2},
        "per_class": {"a": {"pq": 31.5, "tp": 3}},
    }
    return EvaluationRecord(**MODEL | values | changes)


def timing(**changes: Any) -> TimingRecord:
    """A timing of the model alone and end to end."""
    values = {
        "params_m": 3.6,
        "gmacs": 1.25,
        "cost_image_size": (128, 96),
        "fps_model": 50.0,
        "fps_end_to_end": 40.0,
        "rounds_model_s": ((0.02, 0.02, 0.021), (0.02,)),
        "rounds_end_to_end_s": ((0.025,),),
        "interval_model_s": (0.02, 0.02),
        "interval_end_to_end_s": (0.025, 0.025),
        "is_steady": True,
        "photo_size": (96, 128),
        "mode": "eager",
        "dtype": "float32",
        "attention_kernel": "flash (CPU)",
        "batch_size": 1,
        "num_classes": 2,
        "num_queries": 40,
    }
    return TimingRecord(**MODEL | values | changes)


def weights_digest(run_dir: Path) -> str:
    """Of a finished training's weights: short enough to show where two differ."""
    return sha256((run_dir / "model" / "model.safetensors").read_bytes()).hexdigest()


def draw_through(run, change):
    """Lets a study's run draw its training batches through a function of them and their first step.

    Args:
        run: of a study.
        change: batches, the number of the first → batches.
    """
    make = run.maker.module

    def module(steps):
        made = make(steps)
        loader = made.make_loader

        def draws(**when):
            return Batches(change(loader(**when), when["first_step"]), when["steps"])

        made.make_loader = draws
        return made

    run.maker.module = module


class Batches:
    """Batches in turn as a loader of a known length."""

    def __init__(self, batches, length):
        self.batches, self.length = batches, length

    def __iter__(self):
        return iter(self.batches)

    def __len__(self):
        return self.length
