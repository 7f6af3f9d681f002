"""One rung under one configuration: trained, evaluated and timed, a record of each."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from eomtlib.checkpoints import ModelConfig, load_model, save_model
from eomtlib.data.coco import CocoPanoptic
from eomtlib.data.loading import TrainStream, eval_loader
from eomtlib.data.registry import open_dataset
from eomtlib.data.transforms import TrainTransform
from eomtlib.encoder_weights import find_weights, load_pretrained
from eomtlib.encoders import OWN_SIZES, build_encoder
from eomtlib.environment import environment
from eomtlib.errors import ConfigurationError
from eomtlib.evaluation.cost import PeakMemory, count_parameters
from eomtlib.evaluation.evaluate import evaluate_panoptic
from eomtlib.evaluation.postprocessing import post_process_panoptic_segmentation
from eomtlib.ladder import HEAD_SIZES, LADDER, build_model
from eomtlib.precision import autocast
from eomtlib.predictions import MaskLogits
from eomtlib.randomness import keyed_seed
from eomtlib.recipes import Recipe, recipe
from eomtlib.records import EvaluationRecord, TimingRecord, TrainingRecord, config_hash
from eomtlib.results import ResultStore
from eomtlib.settings import Settings
from eomtlib.structures import stuff_classes
from eomtlib.timing import time_model
from eomtlib.training.duration import parse_duration
from eomtlib.training.module import SegmentationModule, TrainingPlan
from eomtlib.training.run import (
    RESUME_FILE,
    FitOptions,
    fit,
    measure_step,
    save_steps,
    saved_steps,
)

# At most so long for each figure: our own sizes are steady soon; a large model's forward pass on a
# CPU takes many seconds.
_TIMING_SECONDS = {True: 6.0, False: 16.0}


class Experiment:
    """Everything that rungs of one study share, and what is done to a rung.

    Args:
        settings: every parameter.
        store: where records go, and weights and curves beside them.
        progress: whether progress bars and notices are shown.

    Raises:
        ConfigurationError, DataError, CheckpointError: when data or weights cannot be used; nothing
            is written then.
    """

    def __init__(self, settings: Settings, store: ResultStore, *, progress: bool) -> None:
        self.settings = settings
        self.store = store
        self.progress = progress
        self.train_set = self._open("train")
        self.val_set = self._open("val")
        if self.train_set.classes != self.val_set.classes:
            raise ConfigurationError(
                f"dataset={self.settings.dataset!r}: training and validation list other classes."
            )
        self.classes = self.val_set.classes
        self.num_queries = self.settings.num_queries or HEAD_SIZES[self.settings.size].num_queries
        self._images_digest = _digest(np.asarray(self.train_set.image_ids, np.int64).tobytes())
        self._weights_digest = self._check_weights()
        self._checked: set[str] = set()

    @property
    def name(self) -> str:
        """Of this configuration: figures and tables go into folders of this name."""
        s = self.settings
        size = "x".join(str(side) for side in s.image_size)
        return f"{s.size}-{s.pretraining}-{s.dataset}-{size}-{s.duration}-seed{s.seed}"

    def run_dir(self, rung: str) -> Path:
        """Where a rung's weights, curves and checkpoint are."""
        s = self.settings
        name = f"{rung}-{s.size}-{s.pretraining}-{s.dataset}-seed{s.seed}"
        return self.store.root / "runs" / f"{name}-{self.config_hash(rung)[:8]}"

    # Steps of a run

    def train(self, rung: str) -> TrainingRecord:
        """Trains a rung to the end of the plan, or goes on with it, and keeps its weights."""
        run_dir, s = self.run_dir(rung), self.settings
        steps = saved_steps(run_dir) or self._steps(rung)
        resuming = (run_dir / RESUME_FILE).is_file()
        self.say(
            f"{rung}: {'going on with' if resuming else 'training'} {steps} steps "
            f"of batch {s.batch_size} at {_times(s.image_size)}."
        )
        with PeakMemory(s.device) as memory:
            module = self.module(rung, steps)
            save_steps(run_dir, steps)
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
        model = module.model.cpu().eval()
        save_model(run_dir / "model", model, self._model_config(rung))
        record = TrainingRecord(
            **self._identity(rung),
            config=self.config(rung),
            config_hash=self.config_hash(rung),
            dataset=s.dataset,
            task="panoptic",
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
            pretraining_used=s.weights.name if s.weights else s.pretraining,
        )
        self.store.write(record)
        # What is finished keeps its weights, not the optimizer's state.
        (run_dir / RESUME_FILE).unlink(missing_ok=True)
        del module, model
        gc.collect()
        return record

    def evaluate(self, rung: str, training: TrainingRecord) -> EvaluationRecord:
        """Evaluates the weights of a finished training on the validation images."""
        s = self.settings
        model, _ = load_model(self.run_dir(rung) / "model")
        model.to(s.device)
        loader = eval_loader(
            self.val_set,
            canvas=s.image_size,
            batch_size=s.batch_size,
            num_workers=s.workers,
            limit=self.num_val,
            pin_memory=s.device.startswith("cuda"),
        )
        result = evaluate_panoptic(
            self.predictor(model),
            loader,
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
            task="panoptic",
            masking="masked" if model.masking.in_inference else "unmasked",
            input_size=s.image_size,
            metrics=result.metrics,
            per_class=result.per_class,
            label=s.label,
        )
        self.store.write(record)
        return record

    def variants(self, rung: str) -> list[tuple[str, str]]:
        """The modes and samplers that a rung is timed in; where nothing samples, modes alone."""
        choice = LADDER[rung].has_deformable_attention
        samplers = self.settings.samplers if choice else ("pytorch",)
        return [(mode, sampler) for mode in self.settings.timing_modes for sampler in samplers]

    def time(self, rung: str, variants: Sequence[tuple[str, str]]) -> list[TimingRecord]:
        """Counts and times a rung, with its trained weights where there are some.

        Args:
            rung: its name.
            variants: of ``self.variants(rung)``.
        """
        s = self.settings
        if (self.run_dir(rung) / "model").is_dir():
            model, _ = load_model(self.run_dir(rung) / "model")
            model.set_image_size(s.cost_image_size)
        else:
            model = self.build(rung, s.cost_image_size, load_weights=False)
        image, _ = self.val_set.read(0)
        records = []
        for mode, sampler in variants:
            how = f"{mode}, {sampler} sampler" if LADDER[rung].has_deformable_attention else mode
            self.say(f"{rung}: timing at {_times(s.cost_image_size)}, {how}.")
            measured = time_model(
                model,
                image,
                build=partial(self.build, rung, s.cost_image_size, load_weights=False),
                image_size=s.cost_image_size,
                post_process=partial(self.post_process, input_size=s.cost_image_size),
                device=s.device,
                precision=s.precision,
                mode=mode,
                sampler=sampler,
                max_seconds=_TIMING_SECONDS[s.size in OWN_SIZES],
            )
            record = TimingRecord(
                **self._identity(rung),
                num_classes=len(self.classes),
                num_queries=self.num_queries,
                cost_image_size=s.cost_image_size,
                **measured,
            )
            self.store.write(record)
            records.append(record)
        # Four rungs share one code object, and compiled variants of all would add up.
        torch.compiler.reset()
        return records

    # Parts

    def _open(self, split: str) -> CocoPanoptic:
        s = self.settings
        return open_dataset(
            s.dataset,
            split,
            data_path=s.data_path,
            image_size=s.image_size,
            train_images=s.train_images,
            val_images=s.generated_val_images,
        )

    @property
    def num_val(self) -> int:
        """How many validation images are evaluated on."""
        return min(len(self.val_set), self.settings.val_images or len(self.val_set))

    def _recipe(self, rung: str) -> Recipe:
        s = self.settings
        return recipe("panoptic", s.dataset, rung, size=s.size, pretraining=s.pretraining)

    def check(self, rung: str) -> None:
        """Everything that can be known to be wrong before hours of training."""
        if rung in self._checked:
            return
        for image_size in {self.settings.image_size, self.settings.cost_image_size}:
            try:
                with torch.device("meta"):
                    self.build(rung, image_size, load_weights=False)
            except ConfigurationError as error:
                raise ConfigurationError(f"{rung}: {error}") from error
        self._checked.add(rung)

    def _check_weights(self) -> str | None:
        """Reads a weights file once, before anything is built, so that it fails here if it does."""
        s = self.settings
        if s.weights is None:
            return None
        if s.pretraining == "none":
            raise ConfigurationError(
                f"weights={str(s.weights)!r} has no use with pretraining='none' "
                f"(size={s.size!r}); leave weights empty, or name the pretraining that it holds."
            )
        encoder = build_encoder(size=s.size, pretraining=s.pretraining, image_size=s.image_size)
        load_pretrained(encoder, size=s.size, pretraining=s.pretraining, weights=s.weights)
        path = find_weights(s.weights, s.size, s.pretraining)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    def build(
        self, rung: str, image_size: tuple[int, int], *, load_weights: bool = True
    ) -> nn.Module:
        """The model of a rung for this data set."""
        s = self.settings
        return build_model(
            rung,
            size=s.size,
            pretraining=s.pretraining,
            image_size=image_size,
            num_classes=len(self.classes),
            num_queries=self.num_queries,
            weights=s.weights,
            load_weights=load_weights,
        )

    def module(self, rung: str, steps: int) -> SegmentationModule:
        """What Lightning trains: model, recipe and stream of samples, all keyed by the seed."""
        s = self.settings
        run_recipe = self._recipe(rung)
        torch.manual_seed(keyed_seed(s.seed, "weights"))
        model = self.build(rung, s.image_size)
        model.encoder.recomputes_blocks = s.activation_checkpointing
        stream = TrainStream(
            dataset=self.train_set,
            transform=TrainTransform(s.image_size, run_recipe.augmentation),
            batch_size=s.batch_size,
            seed=s.seed,
            num_workers=s.workers,
            pin_memory=s.device.startswith("cuda"),
        )
        return SegmentationModule(
            model,
            recipe=run_recipe,
            plan=TrainingPlan(steps=steps, seed=s.seed, compile=s.compile),
            make_loader=stream.loader,
            num_classes=len(self.classes),
        )

    def _steps(self, rung: str) -> int:
        s = self.settings
        return parse_duration(s.duration).steps(
            samples=len(self.train_set),
            batch_size=s.batch_size,
            seconds_per_step=lambda: measure_step(
                self.module(rung, 1), device=s.device, precision=s.precision
            ),
        )

    def predictor(self, model: nn.Module) -> Callable[[Tensor], tuple[MaskLogits, Tensor]]:
        """The model's final masks and classes in the study's precision."""

        def predict(images: Tensor) -> tuple[MaskLogits, Tensor]:
            with autocast(self.settings.device, self.settings.precision):
                predicted = model.predict_final(images)
            return predicted.masks[-1], predicted.class_logits[-1].float()

        return predict

    def post_process(
        self,
        prediction: tuple[MaskLogits, Tensor],
        target_sizes: Sequence[tuple[int, int]],
        input_size: tuple[int, int] | None = None,
    ) -> list[dict[str, Any]]:
        """Segments ``target_sizes`` images from a prediction at ``input_size``."""
        return post_process_panoptic_segmentation(
            *prediction,
            target_sizes=target_sizes,
            input_size=input_size or self.settings.image_size,
            stuff_classes=stuff_classes(self.classes),
        )

    def _model_config(self, rung: str) -> ModelConfig:
        s = self.settings
        return ModelConfig(
            rung=rung,
            size=s.size,
            pretraining=s.pretraining,
            image_size=s.image_size,
            num_queries=self.num_queries,
            masking=LADDER[rung].masking,
            class_names=tuple(info.name for info in self.classes),
            is_thing=tuple(info.is_thing for info in self.classes),
        )

    # Records

    def _identity(self, rung: str) -> dict[str, Any]:
        s = self.settings
        return {
            "rung": rung,
            "size": s.size,
            "pretraining": s.pretraining,
            "environment": environment(s.device),
        }

    def config(self, rung: str) -> dict[str, Any]:
        """What decides the outcome of a run: nothing of where files lie or how it is shown."""
        s = self.settings
        return {
            "rung": rung,
            "size": s.size,
            "pretraining": s.pretraining,
            "weights": self._weights_digest,
            "dataset": s.dataset,
            "images": self._images_digest,
            "classes": [info.name for info in self.classes],
            "image_size": list(s.image_size),
            "duration": s.duration,
            "batch_size": s.batch_size,
            "num_queries": self.num_queries,
            "seed": s.seed,
            "precision": s.precision,
            "device": s.device.partition(":")[0],
            "recipe": asdict(self._recipe(rung)),
        }

    def config_hash(self, rung: str) -> str:
        """What tells one run from another."""
        return config_hash(self.config(rung))

    def say(self, text: str) -> None:
        """Prints a notice, where notices are shown."""
        if self.progress:
            print(text, flush=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
