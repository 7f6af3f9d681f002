"""Building the finished model that a checkpoint holds, and filling it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from eomtlib.core.errors import CheckpointError, ConfigurationError
from eomtlib.core.structures import ClassInfo
from eomtlib.core.words import RANDOM_WEIGHTS
from eomtlib.models.build import build_model
from eomtlib.models.checkpoints.identify import Checkpoint, identify, open_entries
from eomtlib.models.checkpoints.own import ModelConfig, unnamed_classes, written_colors
from eomtlib.models.weights.encoder import load_pretrained
from eomtlib.models.weights.weight_files import copy_entries


def load_model(
    path: str | Path,
    *,
    classes: Sequence[ClassInfo] | None = None,
    new_class_head: bool = False,
    image_size: tuple[int, int] | None = None,
    trained_size: tuple[int, int] | None = None,
    pretraining: str | None = None,
    weights: str | Path | None = None,
) -> tuple[nn.Module, ModelConfig]:
    """Builds the model of a checkpoint of any known kind and fills it.

    It needs about an eighth more memory than the model has, and runs nothing that a file holds.

    Args:
        path: a folder of ours or of Hugging Face's EoMT, or the authors' ``pytorch_model.bin``.
        classes: of the data that it is for; the checkpoint's own when None.
        new_class_head: starts the class head at random where the classes differ, for fine-tuning.
        image_size: height and width to resample the model to; the checkpoint's own when None.
        trained_size: height and width of the images in training, where the file does not tell; see
            ``identify``. Where nothing depends on it, the model is built at ``image_size`` at once.
        pretraining: of the encoder, where the file does not tell; see ``identify``.
        weights: a file or folder of the pretrained encoder, for files that hold the difference to
            it (EoMT on DINOv3) or no encoder (PMT); None for timm's hub.

    Returns:
        The model in eval mode, and what it is.

    Raises:
        CheckpointError: when a file is missing or damaged, does not fit its model, or was trained
            for other classes and no new class head was asked for.
        ConfigurationError: when pretrained weights are needed and not at hand, or ``image_size``
            does not fit.
    """
    found = identify(path, trained_size=trained_size, pretraining=pretraining)
    if not found.tells_size:
        if image_size is None:
            warnings.warn(
                f"{found.path}: does not tell its image size; {found.config.image_size} is "
                "assumed. Set image_size to say so, or to choose another.",
                stacklevel=2,
            )
        size = image_size or found.config.image_size
        found = replace(found, config=replace(found.config, image_size=size))
    if weights and found.encoder == "whole":
        raise ConfigurationError(
            f"weights={str(weights)!r} has no use: {found.path} holds its encoder. Leave it empty."
        )
    if weights == RANDOM_WEIGHTS:
        raise ConfigurationError(
            f"weights={weights!r} has no use: {found.path} was trained on a pretrained encoder, "
            "which it does not hold. Set weights to its file, or leave it empty."
        )
    config, fresh_head = _for_classes(found, classes, new_class_head=new_class_head)
    model = build_model(
        config.rung,
        size=config.size,
        pretraining=config.pretraining,
        image_size=config.image_size,
        num_classes=len(config.class_names),
        num_queries=config.num_queries,
        load_weights=False,
        **config.options.chosen(),
    )
    if found.encoder != "whole":
        load_pretrained(
            model.encoder, size=config.size, pretraining=config.pretraining, weights=weights
        )
    _fill(model, found, fresh_head=fresh_head)
    if image_size and image_size != config.image_size:
        model.set_image_size(image_size)
        config = replace(config, image_size=image_size)
    return model.eval(), config


def _fill(model: nn.Module, found: Checkpoint, *, fresh_head: bool) -> None:
    state = model.state_dict()
    head = {name for name in state if "class_head." in name} if fresh_head else set()
    left_alone = [re.escape(part) for name in head for part in found.layout.names(name)]
    ignored = "|".join([found.layout.ignored, *left_alone])

    def is_encoder(name: str) -> bool:
        return name.startswith("encoder.")

    copy_entries(
        {
            name: value
            for name, value in state.items()
            if name not in head and not (found.encoder == "absent" and is_encoder(name))
        },
        lambda: open_entries(found.path),
        path=found.path,
        layout=replace(found.layout, ignored=ignored),
        add=lambda name: found.encoder == "difference" and is_encoder(name),
    )


def _for_classes(
    found: Checkpoint, classes: Sequence[ClassInfo] | None, *, new_class_head: bool
) -> tuple[ModelConfig, bool]:
    """The configuration for these classes, and whether the class head starts anew."""
    own = found.config.class_names
    if classes is None:
        return found.config, False
    names = tuple(info.name for info in classes)
    differ = len(names) != len(own) or own not in (names, unnamed_classes(len(own)))
    if differ and not new_class_head:
        raise CheckpointError(
            f"{found.path}: was trained for {len(own)} classes ({', '.join(own[:3])}, …), not for "
            f"these {len(names)} ({', '.join(names[:3])}, …). Set new_class_head=True to start its "
            "class head anew and fine-tune it."
        )
    config = replace(
        found.config,
        class_names=names,
        is_thing=tuple(info.is_thing for info in classes),
        class_colors=written_colors(classes),
    )
    return config, differ
