"""What a run works with: its model, the module that trains it, and what segments images with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.machine import distributed
from eomtlib.core.randomness import keyed_seed
from eomtlib.core.structures import Batch
from eomtlib.data.feed.loaders import TrainStream, eval_loader
from eomtlib.data.feed.transforms import TrainTransform
from eomtlib.evaluation.costs import count_costs
from eomtlib.inference.segmenter import Segmenter
from eomtlib.inference.tasks import get_task
from eomtlib.models.build import build_model
from eomtlib.models.checkpoints import load_model
from eomtlib.models.parts.deformable_attention import set_sampler
from eomtlib.models.parts.segmentation_model import SegmentationModel
from eomtlib.study.runs.identity import Identity
from eomtlib.training.hyperparameters import FREQUENCIES
from eomtlib.training.loop.segmentation_module import SegmentationModule, TrainingPlan
from eomtlib.training.masking import windows_of


class Maker:
    """Makes what a run works with.

    Args:
        identity: of the run.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.materials = identity.materials
        self.settings = identity.settings
        self._checked = False

    def check(self) -> None:
        """Everything that can be known to be wrong before hours of training.

        Raises:
            ConfigurationError: when the rung cannot be built.
        """
        if self._checked:
            return
        rung, start = self.identity.name, self.materials.start
        if start is not None and rung != start.config.rung:
            raise ConfigurationError(
                f"{rung}: checkpoint={str(self.settings.checkpoint)!r} holds the rung "
                f"{start.config.rung!r}; set rungs to it."
            )
        for image_size in {self.settings.image_size, self.settings.cost_image_size}:
            try:
                with torch.device("meta"):
                    model = self.model(image_size, load_weights=False)
            except ConfigurationError as error:
                raise ConfigurationError(f"{rung}: {error}") from error
        recipe, classes = self.identity.recipe, self.materials.classes
        given = recipe.loss.class_weights
        if given and given != FREQUENCIES and len(given) != len(classes):
            raise ConfigurationError(
                f"class_weights holds {len(given)} numbers, and there are {len(classes)} classes; "
                f"give one for each, in this order: {', '.join(info.name for info in classes)}."
            )
        if model.masking.mode == "annealed":
            windows_of(recipe.annealing, model.masking.num_blocks, total_steps=1_000_000)
        self._checked = True

    def model(self, image_size: tuple[int, int], *, load_weights: bool = True) -> SegmentationModel:
        """The model for this data set, as training starts from it, or with random weights."""
        return build_model(
            self.identity.name,
            weights=self.materials.encoder_weights() if load_weights else None,
            load_weights=load_weights,
            **self.identity.model_arguments(image_size),
        )

    def costs(self, image_size: tuple[int, int]) -> tuple[float, float]:
        """Millions of parameters, and GMACs of one image, as it runs after its training."""
        masked = self.identity.inference_masking == "masked"
        arguments = self.identity.model_arguments(image_size)
        return count_costs(self.identity.name, masked=masked, **arguments)

    def module(self, steps: int) -> SegmentationModule:
        """What Lightning trains: model, recipe and stream of samples, all keyed by the seed."""
        s, recipe = self.settings, self.identity.recipe
        if recipe.loss.class_weights == FREQUENCIES:
            loss = replace(recipe.loss, class_weights=self.materials.frequency_weights)
            recipe = replace(recipe, loss=loss)
        torch.manual_seed(keyed_seed(s.seed, "weights"))
        model = self._initial_model()
        model.encoder.activation_checkpointing = s.activation_checkpointing
        set_sampler(model, s.sampler, device=s.device)
        stream = TrainStream(
            dataset=self.materials.train_set,
            transform=TrainTransform(s.image_size, recipe.augmentation),
            batch_size=s.batch_size // distributed.world_size(),
            seed=s.seed,
            num_workers=s.workers,
            pin_memory=s.kind == "cuda",
        )
        plan = TrainingPlan(
            steps=steps, seed=s.seed, compile=s.compile, accumulation=s.gradient_accumulation
        )
        return SegmentationModule(
            model,
            recipe=recipe,
            plan=plan,
            make_loader=stream.loader,
            num_classes=len(self.materials.classes),
        )

    def products(self, model: SegmentationModel) -> str:
        """What multiplies the matrices of its training (``core.machine.cpu_products``)."""
        s = self.settings
        batch_size = s.batch_size // distributed.world_size() // s.gradient_accumulation
        return model.encoder.products(s.device, s.precision, batch_size=batch_size)

    def segmenter(
        self, model: SegmentationModel, *, folded: bool = False, mode: str = "eager"
    ) -> Segmenter:
        """What segments images with a model of this run.

        Args:
            model: to run.
            folded: whether weights are folded, as for timing and use; evaluation does without.
            mode: of ``words.TIMING_MODES``.
        """
        s = self.settings
        return Segmenter(
            model,
            task=s.task,
            device=s.device,
            precision=s.precision,
            masked=self.identity.inference_masking == "masked",
            folded=folded,
            mode=mode,
            **get_task(s.task).class_options(self.materials.classes),
        )

    def val_loader(self, limit: int) -> torch.utils.data.DataLoader[Batch]:
        """The first validation images; of several processes, each gets a share."""
        s = self.settings
        return eval_loader(
            self.materials.val_set,
            canvas=s.image_size,
            batch_size=s.batch_size,
            num_workers=s.workers,
            limit=limit,
            pin_memory=s.kind == "cuda",
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            in_windows=get_task(s.task).in_windows,
        )

    def trained(self, path: Path) -> SegmentationModel:
        """The weights of a finished training, on the run's device."""
        model = load_model(path)[0].to(self.settings.device)
        set_sampler(model, self.settings.sampler)
        return model

    def _initial_model(self) -> SegmentationModel:
        """What training starts from: an encoder, pretrained or not, or a whole checkpoint."""
        s = self.settings
        if s.checkpoint is None:
            return self.model(s.image_size)
        model, _ = load_model(
            s.checkpoint,
            classes=self.materials.classes,
            new_class_head=True,
            image_size=s.image_size,
            weights=s.weights,
        )
        return model.train()
