"""Small checkpoints and images to explore."""

import numpy as np
import torch
from PIL import Image

from eomtlib.models.build import build_model
from eomtlib.models.checkpoints import ModelConfig, save_model
from eomtlib.models.ladder import LADDER


def saved(folder, rung="eomt", *, names=("disc", "sky"), sure_of=None):
    """A model with random weights; ``sure_of``: the class that all its queries are sure of."""
    torch.manual_seed(0)
    model = build_model(
        rung, size="nano", pretraining="none", image_size=64, num_classes=2, num_queries=4
    )
    if sure_of is not None:
        parameters = dict(model.named_parameters())
        (bias,) = (value for name, value in parameters.items() if name.endswith("class_head.bias"))
        bias.data[sure_of] = 20.0
    config = ModelConfig(
        rung=rung,
        size="nano",
        pretraining="none",
        image_size=(64, 64),
        num_queries=4,
        masking=LADDER[rung].masking,
        class_names=names,
        is_thing=(True, False),
    )
    save_model(folder, model, config)
    return folder


def image_file(path, size=(40, 30), **options):
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[: size[1] // 2] = 200
    Image.fromarray(pixels).save(path, **options)
    return path
