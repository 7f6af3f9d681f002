"""Every rung can learn: eight images, over and over."""

import pytest
import torch

from eomtlib.core.randomness import keyed_generator
from eomtlib.data.feed.transforms import EvalTransform, resize_segments
from eomtlib.data.feed.transforms import Window as CropWindow
from eomtlib.data.sets.coco import CocoPanoptic
from eomtlib.models.build import build_model
from eomtlib.models.ladder import LADDER
from eomtlib.training.hyperparameters import LossConfig, OptimizerConfig
from eomtlib.training.loss import SegmentationLoss
from eomtlib.training.masking import annealing_windows, masking_probabilities
from eomtlib.training.optimization import build_optimizer

STEPS = 100
SIZE = (64, 64)


@pytest.fixture(scope="module")
def eight_images(one_coco):
    dataset = CocoPanoptic(one_coco, "train")
    images, targets = [], []
    for index in range(8):
        image, segments = dataset.read(index)
        images.append(EvalTransform(SIZE).fit(_stretched(image)))
        targets.append(resize_segments(segments, CropWindow(SIZE, (0, 0), SIZE)))
    return torch.stack(images), targets, len(dataset.classes)


def _stretched(image):
    """Square, so that image and segments fill the canvas alike."""
    resized = torch.nn.functional.interpolate(image[None].float(), size=SIZE, mode="bilinear")
    return resized[0].round().to(torch.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("rung", LADDER)
def test_every_rung_overfits_eight_images(rung, eight_images):
    images, targets, num_classes = eight_images
    torch.manual_seed(0)
    model = build_model(
        rung,
        size="nano",
        pretraining="none",
        image_size=SIZE,
        num_classes=num_classes,
        num_queries=40,
    ).train()
    windows = annealing_windows(model.masking.num_blocks)
    config = OptimizerConfig(lr=2e-3, layer_decay=1.0, warmup_steps=(0.05,), weight_decay=0.0)
    optimizer, scheduler = build_optimizer(model, config, total_steps=STEPS)
    loss = SegmentationLoss(num_classes, LossConfig(num_points=512))
    history = []
    for step in range(STEPS):
        if model.masking.mode == "annealed":
            probabilities = masking_probabilities(step / STEPS, windows)
            model.masking.probabilities.copy_(torch.tensor(probabilities))
        predictions = model(images)
        generators = [keyed_generator(0, step, index) for index in range(8)]
        out = loss(predictions, targets, generators=generators)
        out.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        history.append(float(_final_layer(out)))
    assert sum(history[-10:]) / 10 < history[0] / 5


def _final_layer(out):
    return 2 * out.class_loss[-1] + 5 * out.mask_loss[-1] + 5 * out.dice_loss[-1]
