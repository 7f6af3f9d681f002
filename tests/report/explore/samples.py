"""Small checkpoints and images to explore."""

import numpy as np
import torch
from PIL import Image

from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.models.build import build_model
from eomtlib.models.checkpoints import ModelConfig, save_model
from eomtlib.models.ladder import LADDER
from eomtlib.report.explore import Explorer, Inspector, given_checkpoints
from eomtlib.report.explore.sources import Picture, Segments, own_pictures

CLASSES = (ClassInfo("disc", True, 1), ClassInfo("sky", False, 2))


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


def annotated(title="annotated"):
    """Noise, 40 x 60, above a sky and left of a disc."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    ids = np.zeros((40, 60), np.int16)
    ids[20:], ids[:20, 30:] = 1, -1
    annotation = SegmentMap(
        torch.from_numpy(ids[None]), torch.tensor([1, 0]), torch.zeros(2, dtype=torch.bool)
    )
    target = Segments(ids, (1, 0), CLASSES)
    return Picture(title, pixels, target, annotation, "panoptic")


def explorer(folder):
    """Two untrained models, one image with a target and one without; any score makes a segment."""
    paths = saved(folder / "a", "eomt-masked"), saved(folder / "b")
    pictures = [annotated(), *own_pictures(str(image_file(folder / "own.png")), 1)]
    inspector = Inspector(given_checkpoints(",".join(map(str, paths))), pictures, classes=CLASSES)
    return Explorer(inspector, threshold=0.0), inspector
