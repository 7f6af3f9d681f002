"""A study: one configuration in, records out.

For each rung it trains, evaluates and times, and writes one record of each. What is finished is
found again and not repeated; what was interrupted goes on from its last checkpoint.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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
from eomtlib.planning import Plan, make_plan
from eomtlib.precision import autocast
from eomtlib.randomness import keyed_seed
from eomtlib.recipes import Recipe, recipe
from eomtlib.records import EvaluationRecord, TimingRecord, TrainingRecord, config_hash
from eomtlib.results import ResultStore
from eomtlib.settings import Settings, parse_rungs, resolve_results_dir, resolve_settings
from eomtlib.timing import fastest, time_model
from eomtlib.training.duration import parse_duration
from eomtlib.training.module import SegmentationModule, TrainingPlan
from eomtlib.training.run import (
    RESUME_FILE,
    FitOptions,
    fit,
    measure_step,
    read_curves,
    save_steps,
    saved_steps,
)

# At most so long for each figure: our own sizes are steady soon; a large model's forward pass on a
# CPU takes many seconds.
_TIMING_SECONDS = {True: 6.0, False: 16.0}


@dataclass(frozen=True)
class RungResult:
    """The records of one rung.

    Attributes:
        rung: its name.
        training: None where nothing was trained.
        evaluation: None where nothing was trained.
        timing: of the architecture on this machine.
        run_dir: weights and curves; None where nothing was trained.
    """

    rung: str
    training: TrainingRecord | None
    evaluation: EvaluationRecord | None
    timing: TimingRecord
    run_dir: Path | None


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
        train: bool = True,
        progress: bool = True,
        **parameters: Any,
    ) -> None:
        self.settings: Settings = resolve_settings(**parameters)
        self.train = bool(train)
        self.progress = progress
        self.store = ResultStore(resolve_results_dir(results_dir))
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

    # What is about to happen

    def plan(self, rungs: str | Sequence[str] = "all") -> Plan:
        """Says what ``run_all`` will do, what is done already, and about how long it will take.

        Raises:
            ConfigurationError: for an unknown rung, or an image size that a rung cannot take.
        """
        chosen = parse_rungs(rungs)
        for rung in chosen:
            self._check(rung)
        done = {rung: self._finished(self._found(rung)) for rung in chosen}
        return make_plan(
            self.settings,
            chosen,
            done=done,
            train=self.train,
            num_classes=len(self.classes),
            num_train=len(self.train_set),
            num_val=self._num_val,
        )

    # Doing it

    def run_all(self, rungs: str | Sequence[str] = "all") -> list[RungResult]:
        """Runs rungs one after the other, in the ladder's order."""
        chosen = parse_rungs(rungs)
        for rung in chosen:
            self._check(rung)
        return [self.run(rung) for rung in chosen]

    def run(self, rung: str) -> RungResult:
        """Trains, evaluates and times one rung, as far as that is not done already.

        Raises:
            ConfigurationError: for an unknown rung, or an image size that it cannot take.
        """
        self._check(rung)
        found = self._found(rung)
        done = self._finished(found)
        if found["training"] is not None:
            # A kill between the record and this line leaves it.
            (self.run_dir(rung) / RESUME_FILE).unlink(missing_ok=True)
        self._say(f"{rung}: found {', '.join(done)}." if done else f"{rung}:")
        training, evaluation = found["training"], found["evaluation"]
        if self.train and training is None:
            training = self._train(rung)
        if training is not None and evaluation is None:
            evaluation = self._evaluate(rung, training)
        timings = found["timing"]
        missing = [m for m in self.settings.timing_modes if m not in {t.mode for t in timings}]
        timing = fastest([*timings, *(self._time(rung, missing) if missing else [])])
        if evaluation is not None:
            self._say(f"{rung}: PQ {evaluation.metrics['pq']:.1f}, {timing.fps_model:.1f} FPS.")
        run_dir = self.run_dir(rung) if training is not None else None
        return RungResult(rung, training, evaluation, timing, run_dir)

    # Looking at it

    def curves(self, results: Sequence[RungResult]) -> dict[str, pd.DataFrame]:
        """Rung → its logged values."""
        return {r.rung: read_curves(r.run_dir) for r in results if r.run_dir is not None}

    def segmentations(self, results: Sequence[RungResult], *, num_images: int = 4) -> Segmentations:
        """The first validation images, segmented by every trained rung, the target first."""
        count = min(num_images, len(self.val_set))
        samples = [self.val_set.read(index) for index in range(count)]
        images = [image.permute(1, 2, 0).numpy() for image, _ in samples]
        trained = [result for result in results if result.run_dir is not None]
        if not trained:
            return Segmentations(images)
        rows = {"target": [(s.ids[0].numpy(), s.labels.tolist()) for _, s in samples]}
        loader = eval_loader(
            self.val_set, canvas=self.settings.image_size, num_workers=0, limit=count
        )
        batches = list(loader)
        for result in trained:
            model, _ = load_model(result.run_dir / "model")
            model.to(self.settings.device)
            row = []
            for batch in batches:
                with torch.inference_mode():
                    prediction = self._predictor(model)(batch.images.to(self.settings.device))
                segmented = self._post_process(prediction, batch.original_sizes)[0]
                labels = [info["label_id"] for info in segmented["segments_info"]]
                row.append((segmented["segmentation"].cpu().numpy(), labels))
            rows[LADDER[result.rung].title] = row
            del model
            gc.collect()
        return Segmentations(images, rows)

    @property
    def name(self) -> str:
        """Of this configuration: figures and tables go into folders of this name."""
        s = self.settings
        size = "x".join(str(side) for side in s.image_size)
        return f"{s.size}-{s.pretraining}-{s.dataset}-{size}-{s.duration}-seed{s.seed}"

    def run_dir(self, rung: str) -> Path:
        """Where a rung's weights, curves and checkpoint are."""
        s = self.settings
        name = f"{rung}-{s.size}-{s.pretraining}-{s.dataset}-seed{s.seed}-{self._hash(rung)[:8]}"
        return self.store.root / "runs" / name

    # Steps of a run

    def _train(self, rung: str) -> TrainingRecord:
        run_dir, s = self.run_dir(rung), self.settings
        steps = saved_steps(run_dir) or self._steps(rung)
        resuming = (run_dir / RESUME_FILE).is_file()
        self._say(
            f"{rung}: {'going on with' if resuming else 'training'} {steps} steps "
            f"of batch {s.batch_size} at {_times(s.image_size)}."
        )
        with PeakMemory(s.device) as memory:
            module = self._module(rung, steps)
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
            config=self._config(rung),
            config_hash=self._hash(rung),
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

    def _evaluate(self, rung: str, training: TrainingRecord) -> EvaluationRecord:
        s = self.settings
        model, _ = load_model(self.run_dir(rung) / "model")
        model.to(s.device)
        loader = eval_loader(
            self.val_set,
            canvas=s.image_size,
            batch_size=s.batch_size,
            num_workers=s.workers,
            limit=self._num_val,
            pin_memory=s.device.startswith("cuda"),
        )
        result = evaluate_panoptic(
            self._predictor(model),
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
            num_images=self._num_val,
            task="panoptic",
            masking="masked" if model.masking.in_inference else "unmasked",
            input_size=s.image_size,
            metrics=result.metrics,
            per_class=result.per_class,
            label=s.label,
        )
        self.store.write(record)
        return record

    def _time(self, rung: str, modes: Sequence[str]) -> list[TimingRecord]:
        s = self.settings
        if (self.run_dir(rung) / "model").is_dir():
            model, _ = load_model(self.run_dir(rung) / "model")
            model.set_image_size(s.cost_image_size)
        else:
            model = self._build(rung, s.cost_image_size, load_weights=False)
        image, _ = self.val_set.read(0)
        records = []
        for mode in modes:
            self._say(f"{rung}: timing at {_times(s.cost_image_size)}, {mode}.")
            measured = time_model(
                model,
                image,
                build=partial(self._build, rung, s.cost_image_size, load_weights=False),
                image_size=s.cost_image_size,
                post_process=partial(self._post_process, input_size=s.cost_image_size),
                device=s.device,
                precision=s.precision,
                mode=mode,
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
    def _num_val(self) -> int:
        return min(len(self.val_set), self.settings.val_images or len(self.val_set))

    def _recipe(self, rung: str) -> Recipe:
        s = self.settings
        return recipe("panoptic", s.dataset, rung, size=s.size, pretraining=s.pretraining)

    def _check(self, rung: str) -> None:
        """Everything that can be known to be wrong before hours of training."""
        for image_size in {self.settings.image_size, self.settings.cost_image_size}:
            try:
                with torch.device("meta"):
                    self._build(rung, image_size, load_weights=False)
            except ConfigurationError as error:
                raise ConfigurationError(f"{rung}: {error}") from error

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

    def _build(
        self, rung: str, image_size: tuple[int, int], *, load_weights: bool = True
    ) -> nn.Module:
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

    def _module(self, rung: str, steps: int) -> SegmentationModule:
        s = self.settings
        run_recipe = self._recipe(rung)
        torch.manual_seed(keyed_seed(s.seed, "weights"))
        model = self._build(rung, s.image_size)
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
                self._module(rung, 1), device=s.device, precision=s.precision
            ),
        )

    def _predictor(self, model: nn.Module) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """The model's final prediction in the study's precision."""

        def predict(images: Tensor) -> tuple[Tensor, Tensor]:
            with autocast(self.settings.device, self.settings.precision):
                mask_logits, class_logits = model.predict(images)
            return mask_logits.float(), class_logits.float()

        return predict

    def _post_process(
        self,
        prediction: tuple[Tensor, Tensor],
        target_sizes: Sequence[tuple[int, int]],
        input_size: tuple[int, int] | None = None,
    ) -> list[dict[str, Any]]:
        stuff = {i for i, info in enumerate(self.classes) if not info.is_thing}
        return post_process_panoptic_segmentation(
            *prediction,
            target_sizes=target_sizes,
            input_size=input_size or self.settings.image_size,
            stuff_classes=stuff,
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

    def _config(self, rung: str) -> dict[str, Any]:
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

    def _hash(self, rung: str) -> str:
        return config_hash(self._config(rung))

    def _found(self, rung: str) -> dict[str, Any]:
        """The finished records of a rung under this configuration; None where there is none."""
        s = self.settings
        training = self.store.find("training", config_hash=self._hash(rung))
        if training is not None and not (self.run_dir(rung) / "model" / "config.json").is_file():
            training = None
        evaluation = training and self.store.find(
            "evaluation", training_id=training.id, num_images=self._num_val
        )
        timing = self.store.records(
            "timing",
            rung=rung,
            size=s.size,
            pretraining=s.pretraining,
            num_classes=len(self.classes),
            num_queries=self.num_queries,
            cost_image_size=s.cost_image_size,
            dtype=s.precision,
            machine=environment(s.device).machine,
        )
        timing = [record for record in timing if record.mode in s.timing_modes]
        return {"training": training, "evaluation": evaluation, "timing": timing}

    def _finished(self, found: Mapping[str, Any]) -> tuple[str, ...]:
        """The kinds of records of which none is missing."""
        modes = {timing.mode for timing in found["timing"]}
        complete = dict(found, timing=set(self.settings.timing_modes) <= modes)
        return tuple(kind for kind, there in complete.items() if there)

    def _say(self, text: str) -> None:
        if self.progress:
            print(text, flush=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
