"""What a run is: the rung, its choices, and the keys that its records are found by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eomtlib.core.hyperparameters import in_key, with_values
from eomtlib.core.machine.environment import environment
from eomtlib.evaluation.evaluate import EVALUATION_METHOD
from eomtlib.evaluation.speed import TIMING_METHOD
from eomtlib.inference.tasks import POST_PROCESSING_METHOD
from eomtlib.models.build import own_choices
from eomtlib.models.checkpoints import ModelConfig
from eomtlib.models.checkpoints.own import written_colors
from eomtlib.models.ladder import LADDER, Rung, masking_after
from eomtlib.models.options import ModelOptions
from eomtlib.study.parameters.overriding import overrides_of
from eomtlib.study.parameters.settings import Settings
from eomtlib.study.records.keys import Architecture, EvaluationKey, TimingKey, TrainingKey
from eomtlib.study.runs.materials import Materials
from eomtlib.training.hyperparameters import HYPERPARAMETERS, Recipe
from eomtlib.training.loop.fit import TRAINING_METHOD
from eomtlib.training.recipes import recipe

METHODS = {
    "training": TRAINING_METHOD,
    "evaluation": EVALUATION_METHOD,
    "post_processing": POST_PROCESSING_METHOD,
    "timing": TIMING_METHOD,
}
"""How things are done: each number rises when what comes out changes."""


def chosen_options(rung: str, s: Settings) -> ModelOptions:
    """What of a rung is not as the papers build it under these settings."""
    own = own_choices(rung, size=s.size, pretraining=s.pretraining)
    return s.options.beside(own) if s.options.chosen() else s.options


def chosen_recipe(rung: str, s: Settings) -> Recipe:
    """The recipe of a rung under these settings, with what overrides it."""
    papers = recipe(
        s.task,
        s.dataset,
        rung,
        size=s.size,
        pretraining=s.pretraining,
        options=chosen_options(rung, s),
    )
    return with_values(papers, overrides_of(s.overrides), HYPERPARAMETERS)


@dataclass(frozen=True)
class Identity:
    """One rung under one configuration.

    Attributes:
        name: of the rung.
        materials: data and weights, and with them the settings.
    """

    name: str
    materials: Materials

    @property
    def rung(self) -> Rung:
        """What it is made of."""
        return LADDER[self.name]

    @property
    def settings(self) -> Settings:
        """Every parameter, resolved."""
        return self.materials.settings

    @cached_property
    def options(self) -> ModelOptions:
        """What of the rung is not as the papers build it; choices of its own are none."""
        return chosen_options(self.name, self.settings)

    @property
    def masking(self) -> str:
        """How it is trained: ``masked``, ``annealed`` or ``unmasked``."""
        return self.options.masking or self.rung.masking

    @property
    def inference_masking(self) -> str:
        """How it is evaluated and timed: ``masked`` or ``unmasked``."""
        return self.settings.inference_masking or masking_after(self.masking)

    @cached_property
    def recipe(self) -> Recipe:
        """All hyper-parameters."""
        return chosen_recipe(self.name, self.settings)

    @cached_property
    def training_key(self) -> TrainingKey:
        """What its training is found by."""
        s, made_of = self.settings, self.materials
        return TrainingKey(
            rung=self.name,
            size=s.size,
            pretraining=s.pretraining,
            weights=made_of.weights_digest,
            dataset=s.dataset,
            data=made_of.data_digests["train"],
            classes=tuple(info.name for info in made_of.classes),
            image_size=s.image_size,
            duration=s.duration,
            batch_size=s.batch_size,
            num_queries=made_of.num_queries,
            seed=s.seed,
            precision=s.precision,
            device=s.kind,
            recipe=in_key(self.recipe),
            task=s.task,
            checkpoint=None if s.checkpoint is None else made_of.weights_digest,
            options=self.options.chosen(),
            stopping=self._stopping,
            method=TRAINING_METHOD,
        )

    @property
    def num_validated(self) -> int:
        """Images that a training is validated on."""
        available = len(self.materials.val_set)
        return min(self.settings.validate_on or available, available)

    @property
    def _stopping(self) -> dict[str, Any] | None:
        """What ends a training early; where nothing does, validation changes nothing of it."""
        s = self.settings
        if not s.early_stopping:
            return None
        return {
            "patience": s.early_stopping,
            "every": s.validate_every,
            "data": self.materials.data_digests["val"],
            "num_images": self.num_validated,
            "masking": self.inference_masking,
            "methods": [EVALUATION_METHOD, POST_PROCESSING_METHOD],
        }

    def evaluation_key(self, training_id: str) -> EvaluationKey:
        """What an evaluation of that training is found by."""
        return EvaluationKey(
            training_id=training_id,
            data=self.materials.data_digests["val"],
            num_images=self.materials.num_val,
            masking=self.inference_masking,
            method=EVALUATION_METHOD,
            post_processing=POST_PROCESSING_METHOD,
        )

    @cached_property
    def architecture(self) -> Architecture:
        """What is run at inference."""
        return self.training_key.architecture(self.inference_masking)

    def timing_key(self, mode: str, sampler: str) -> TimingKey:
        """What its timing on this machine, in one of its ``variants``, is found by."""
        s, here = self.settings, environment(self.settings.device)
        return TimingKey(
            architecture=self.architecture,
            image_size=s.cost_image_size,
            mode=mode,
            sampler=sampler,
            dtype=s.precision,
            method=TIMING_METHOD,
            machine=here.machine,
            photo_size=tuple(self.materials.val_set.sizes[0].tolist()),
            torch=here.torch,
            driver=here.driver,
        )

    @property
    def variants(self) -> list[tuple[str, str]]:
        """The modes and samplers that it is timed in; where nothing samples, modes alone."""
        s = self.settings
        samplers = s.samplers if self.rung.has_deformable_attention else ("pytorch",)
        return [(mode, sampler) for mode in s.timing_modes for sampler in samplers]

    @property
    def folder(self) -> str:
        """The name of its folder in the results."""
        s = self.settings
        pretraining = s.pretraining.replace(":", "-")  # which file systems give a meaning
        name = f"{self.name}-{s.size}-{pretraining}-{s.dataset}-seed{s.seed}"
        return f"{name}-{self.training_key.digest()[:8]}"

    def model_arguments(self, image_size: tuple[int, int]) -> dict[str, Any]:
        """What ``build_model`` is told, but for the weights."""
        return {
            "size": self.settings.size,
            "pretraining": self.settings.pretraining,
            "image_size": image_size,
            "num_classes": len(self.materials.classes),
            "num_queries": self.materials.num_queries,
            **self.options.chosen(),
        }

    def model_config(self) -> ModelConfig:
        """What is saved beside the weights."""
        s, classes = self.settings, self.materials.classes
        return ModelConfig(
            rung=self.name,
            size=s.size,
            pretraining=s.pretraining,
            image_size=s.image_size,
            num_queries=self.materials.num_queries,
            class_names=tuple(info.name for info in classes),
            is_thing=tuple(info.is_thing for info in classes),
            task=s.task,
            class_colors=written_colors(classes),
            **{"masking": self.rung.masking} | self.options.chosen(),
        )
