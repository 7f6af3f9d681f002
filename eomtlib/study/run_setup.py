"""What a configuration comes to: its data, its models, and what tells its runs from others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eomtlib.core import distributed
from eomtlib.core.atomic_files import config_hash
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.predictions import MaskLogits
from eomtlib.core.randomness import keyed_seed
from eomtlib.data.dataset import SegmentationDataset
from eomtlib.data.feed.loaders import TrainStream
from eomtlib.data.feed.transforms import TrainTransform
from eomtlib.data.registry import open_dataset
from eomtlib.evaluation.architecture_costs import count_costs
from eomtlib.inference.row_attention import autocast_inference
from eomtlib.inference.tasks import Task, get_task
from eomtlib.models.checkpoints import ModelConfig, identify, load_model
from eomtlib.models.encoders import build_encoder
from eomtlib.models.ladder import HEAD_SIZES, LADDER, build_model, masking_after, own_choices
from eomtlib.models.options import ModelOptions
from eomtlib.models.parts.segmentation_model import SegmentationModel
from eomtlib.models.weights.encoder import find_weights, load_pretrained
from eomtlib.study.settings import Settings
from eomtlib.training.module import SegmentationModule, TrainingPlan
from eomtlib.training.pretraining import pretraining_hash, written_hash
from eomtlib.training.recipes import Recipe, recipe


class RunSetup:
    """Everything that rungs of one study share, and what a rung is made of.

    Args:
        settings: every parameter.

    Raises:
        ConfigurationError, DataError, CheckpointError: when data or weights cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        _check_split(settings)
        with distributed.first_goes_first():  # it may write the embedded data set
            self.train_set = self._open("train")
            self.val_set = self._open("val")
        if self.train_set.classes != self.val_set.classes:
            raise ConfigurationError(
                f"dataset={self.settings.dataset!r}: training and validation list other classes."
            )
        self.classes = self.val_set.classes
        self.num_queries = self.settings.num_queries or self._default_queries()
        self._images_digest = _digest(np.asarray(self.train_set.image_ids, np.int64).tobytes())
        self._start = identify(settings.checkpoint) if settings.checkpoint else None
        self._weights_digest = self._check_weights()
        self._checked: set[str] = set()

    @property
    def name(self) -> str:
        """Of data and length, whatever the model and the seed."""
        s = self.settings
        size = "x".join(str(side) for side in s.image_size)
        task = "" if s.task == "panoptic" else f"-{s.task}"
        return f"{s.dataset}{task}-{size}-{s.duration}"

    @property
    def task(self) -> Task:
        """How this study's task is evaluated."""
        return get_task(self.settings.task)

    @property
    def num_val(self) -> int:
        """How many validation images are evaluated on."""
        return min(len(self.val_set), self.settings.val_images or len(self.val_set))

    def check(self, rung: str) -> None:
        """Everything that can be known to be wrong before hours of training."""
        if rung in self._checked:
            return
        if self._start is not None and rung != self._start.config.rung:
            raise ConfigurationError(
                f"{rung}: checkpoint={str(self.settings.checkpoint)!r} holds the rung "
                f"{self._start.config.rung!r}; set rungs to it."
            )
        for image_size in {self.settings.image_size, self.settings.cost_image_size}:
            try:
                with torch.device("meta"):
                    self.build(rung, image_size, load_weights=False)
            except ConfigurationError as error:
                raise ConfigurationError(f"{rung}: {error}") from error
        self._checked.add(rung)

    def build(
        self, rung: str, image_size: tuple[int, int], *, load_weights: bool = True
    ) -> SegmentationModel:
        """The model of a rung for this data set."""
        return build_model(
            rung,
            weights=self.encoder_weights() if load_weights else None,
            load_weights=load_weights,
            **self._architecture(rung, image_size),
        )

    def costs(self, rung: str, image_size: tuple[int, int]) -> tuple[float, float]:
        """Millions of parameters, and GMACs of one image, as the rung runs after its training."""
        return count_costs(
            rung, masked=self.is_masked(rung), **self._architecture(rung, image_size)
        )

    def is_masked(self, rung: str) -> bool:
        """Whether attention is masked at inference."""
        return self.inference_masking(rung) == "masked"

    def options(self, rung: str) -> ModelOptions:
        """What of a rung is not as the papers build it; choices of the rung's own are none."""
        s = self.settings
        if not s.options.chosen():
            return s.options
        own = own_choices(rung, size=s.size, pretraining=s.pretraining)
        return s.options.beside(own)

    def encoder_weights(self) -> Path | None:
        """The file or folder of the encoder's weights; None for timm's hub, or for none at all."""
        return self.settings.weights

    def module(self, rung: str, steps: int) -> SegmentationModule:
        """What Lightning trains: model, recipe and stream of samples, all keyed by the seed."""
        s = self.settings
        run_recipe = self._recipe(rung)
        torch.manual_seed(keyed_seed(s.seed, "weights"))
        model = self._initial_model(rung)
        model.encoder.activation_checkpointing = s.activation_checkpointing
        stream = TrainStream(
            dataset=self.train_set,
            transform=TrainTransform(s.image_size, run_recipe.augmentation),
            batch_size=s.batch_size // distributed.world_size(),
            seed=s.seed,
            num_workers=s.workers,
            pin_memory=s.device.startswith("cuda"),
        )
        return SegmentationModule(
            model,
            recipe=run_recipe,
            plan=TrainingPlan(
                steps=steps,
                seed=s.seed,
                compile=s.compile,
                accumulation=s.gradient_accumulation,
            ),
            make_loader=stream.loader,
            num_classes=len(self.classes),
        )

    def predictor(
        self, rung: str, model: SegmentationModel
    ) -> Callable[[Tensor], tuple[MaskLogits, Tensor]]:
        """A rung's final masks and classes in the study's precision and inference masking."""
        masked = self.inference_masking(rung) == "masked"

        def predict(images: Tensor) -> tuple[MaskLogits, Tensor]:
            with autocast_inference(self.settings.device, self.settings.precision):
                predicted = model.predict_final(images, masked=masked)
            return predicted.masks[-1], predicted.class_logits[-1].float()

        return predict

    def post_process(
        self,
        prediction: tuple[MaskLogits, Tensor],
        target_sizes: Sequence[tuple[int, int]],
        input_size: tuple[int, int] | None = None,
    ) -> list[Any]:
        """Segments ``target_sizes`` images from a prediction at ``input_size``."""
        process = self.task.post_processing(
            input_size or self.settings.image_size, self.task.class_options(self.classes)
        )
        return process(*prediction, target_sizes=target_sizes)

    def inference_masking(self, rung: str) -> str:
        """Whether a rung is evaluated and timed ``masked`` or ``unmasked``."""
        trained = self.options(rung).masking or LADDER[rung].masking
        return self.settings.inference_masking or masking_after(trained)

    def timed_as(self, rung: str) -> dict[str, Any]:
        """The fields of a ``TimingRecord`` that tell this architecture from a rung's others."""
        masking = self.inference_masking(rung)
        return {
            "task": self.settings.task,
            "num_classes": len(self.classes),
            "num_queries": self.num_queries,
            "cost_image_size": self.settings.cost_image_size,
            "masking": None if masking == LADDER[rung].inference_masking else masking,
            "options": self.options(rung).of_architecture(),
        }

    def variants(self, rung: str) -> list[tuple[str, str]]:
        """The modes and samplers that a rung is timed in; where nothing samples, modes alone."""
        choice = LADDER[rung].has_deformable_attention
        samplers = self.settings.samplers if choice else ("pytorch",)
        return [(mode, sampler) for mode in self.settings.timing_modes for sampler in samplers]

    def model_config(self, rung: str) -> ModelConfig:
        """What is saved beside a rung's weights."""
        s = self.settings
        return ModelConfig(
            rung=rung,
            size=s.size,
            pretraining=s.pretraining,
            image_size=s.image_size,
            num_queries=self.num_queries,
            class_names=tuple(info.name for info in self.classes),
            is_thing=tuple(info.is_thing for info in self.classes),
            task=s.task,
            **{"masking": LADDER[rung].masking} | self.options(rung).chosen(),
        )

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
            # Panoptic runs were told apart before there were other tasks.
            **({"task": s.task} if s.task != "panoptic" else {}),
            **({"checkpoint": self._weights_digest} if s.checkpoint is not None else {}),
            **({"options": options} if (options := self.options(rung).chosen()) else {}),
        }

    def config_hash(self, rung: str) -> str:
        """What tells one run from another."""
        return config_hash(self.config(rung))

    def _initial_model(self, rung: str) -> SegmentationModel:
        """What training starts from: an encoder, pretrained or not, or a whole checkpoint."""
        s = self.settings
        if s.checkpoint is None:
            return self.build(rung, s.image_size)
        model, _ = load_model(
            s.checkpoint,
            classes=self.classes,
            new_class_head=True,
            image_size=s.image_size,
            weights=s.weights,
        )
        return model.train()

    def _default_queries(self) -> int:
        """The papers have half as many for semantic segmentation, which has fewer segments."""
        count = HEAD_SIZES[self.settings.size].num_queries
        return count // 2 if self.settings.task == "semantic" else count

    def _open(self, split: str) -> SegmentationDataset:
        s = self.settings
        return _opened(
            s.dataset,
            split,
            task=s.task,
            data_path=s.data_path,
            image_size=s.image_size,
            train_images=s.train_images,
            val_images=s.generated_val_images,
        )

    def _architecture(self, rung: str, image_size: tuple[int, int]) -> dict[str, Any]:
        """The arguments of ``build_model`` without the weights."""
        return {
            "size": self.settings.size,
            "pretraining": self.settings.pretraining,
            "image_size": image_size,
            "num_classes": len(self.classes),
            "num_queries": self.num_queries,
            **self.options(rung).chosen(),
        }

    def _recipe(self, rung: str) -> Recipe:
        s = self.settings
        return recipe(
            s.task,
            s.dataset,
            rung,
            size=s.size,
            pretraining=s.pretraining,
            options=self.options(rung),
        )

    def _check_weights(self) -> str | None:
        """Reads a weights file once, before anything is built, so that it fails here if it does."""
        s = self.settings
        if self._start is not None:
            return _file_digest(self._start.path)
        if s.mim is not None:
            return f"mim {pretraining_hash(s.mim)}"
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
        if s.pretraining == "mim" and (written := written_hash(path)):
            return f"mim {written}"
        return _file_digest(path)


def _check_split(settings: Settings) -> None:
    """Refuses a batch that processes and parts cannot share equally."""
    parts = distributed.world_size() * settings.gradient_accumulation
    if settings.batch_size % parts:
        raise ConfigurationError(
            f"batch_size={settings.batch_size} cannot be shared by {distributed.world_size()} "
            f"process(es) with gradient_accumulation={settings.gradient_accumulation}; it must be "
            f"a multiple of {parts}."
        )


# Studies that differ in a seed or a model read the same data, which need not be in memory twice.
_opened = lru_cache(maxsize=4)(open_dataset)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
