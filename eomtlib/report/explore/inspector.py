"""Models × pictures: each pair is inspected once, when somebody wants to see it."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from eomtlib.core.console import progress
from eomtlib.core.structures import ClassInfo
from eomtlib.core.words import NUM_CLASSES
from eomtlib.models.checkpoints import ModelConfig
from eomtlib.models.checkpoints.own import unnamed_classes
from eomtlib.report.explore.explored_models import ExploredModel, told_once
from eomtlib.report.explore.inspection import Inspection, inspect
from eomtlib.report.explore.sources import Picture


@dataclass
class Inspector:
    """Inspections of models on pictures, kept once they are made.

    One model is in memory at a time, the one that was used last.

    Attributes:
        models: to look into.
        pictures: to look at.
        classes: of the data set, to name the classes of checkpoints that hold no names.
        device: to run on.
        image_size: height and width to resample every model to; its own when None.
        weights: a file or folder of encoder weights, for checkpoints without an encoder.
        names: of the models, without what is true of all.
        shared: what is true of all.
    """

    models: Sequence[ExploredModel]
    pictures: list[Picture]
    _: KW_ONLY
    classes: Sequence[ClassInfo] = ()
    device: str = "cpu"
    image_size: tuple[int, int] | None = None
    weights: str | Path | None = None
    _loaded: tuple[int, nn.Module, ModelConfig] | None = field(default=None, init=False)
    _made: dict[tuple[int, int], Inspection] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.names, self.shared = told_once(self.models)

    def __call__(self, model: int, picture: int) -> Inspection:
        """What a model makes of a picture.

        Args:
            model: its position in ``models``.
            picture: its position in ``pictures``.
        """
        if (model, picture) not in self._made:
            network, config = self._load(model)
            self._made[model, picture] = inspect(
                network,
                self.pictures[picture],
                title=self.names[model],
                details=self.shared,
                rung=config.rung,
                classes=named_classes(config, self.classes),
                device=self.device,
                label=self.models[model].label,
                task=config.task or "panoptic",
            )
        return self._made[model, picture]

    def run_all(self) -> None:
        """Inspects every picture by every model, so that views need not wait; model by model."""
        pairs = [(m, p) for m in range(len(self.models)) for p in range(len(self.pictures))]
        for model, picture in progress(pairs, "inspecting", delay=3, kept=False):
            self(model, picture)

    def of_picture(self, picture: int) -> list[Inspection]:
        """What every model makes of a picture."""
        return [self(model, picture) for model in range(len(self.models))]

    def made_of(self, picture: int) -> list[int]:
        """The models that have inspected a picture."""
        return [model for model in range(len(self.models)) if (model, picture) in self._made]

    def preferred(self) -> int:
        """The model to begin with: an EoMT, else the best on these pictures, else the first."""
        rungs = [model.rung for model in self.models]
        if "eomt" in rungs:
            return rungs.index("eomt")
        means = []
        for model in range(len(rungs)):
            found = [self(model, picture).accuracy() for picture in range(len(self.pictures))]
            means.append(np.mean([figure[1] for figure in found if figure] or [-1.0]))
        return int(np.argmax(means))

    def _load(self, index: int) -> tuple[nn.Module, ModelConfig]:
        if self._loaded is None or self._loaded[0] != index:
            self._loaded = None
            gc.collect()
            given = {"image_size": self.image_size, "weights": self.weights}
            network, config = self.models[index].load(**given)
            self._loaded = (index, network.to(self.device), config)
        return self._loaded[1:]


def named_classes(
    config: ModelConfig, dataset_classes: Sequence[ClassInfo] = ()
) -> tuple[ClassInfo, ...]:
    """A model's classes, from the data set where the checkpoint does not name them.

    Where nobody says what is stuff, as many classes as COCO's are taken for COCO's, and any others
    for things.
    """
    own = config.class_names
    names = tuple(info.name for info in dataset_classes)
    unnamed = own == unnamed_classes(len(own))
    if len(names) == len(own) and (names == own or unnamed):
        return tuple(dataset_classes)
    is_thing = config.is_thing
    if is_thing is None:
        # COCO's things come first in every published checkpoint on it.
        is_coco = len(own) == NUM_CLASSES["coco", "panoptic"]
        things = NUM_CLASSES["coco", "instance"] if is_coco else len(own)
        is_thing = [index < things for index in range(len(own))]
    return config.classes(is_thing)
