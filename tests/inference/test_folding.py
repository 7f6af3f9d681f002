"""What is folded into weights, and what 16 bits could not hold."""

import pytest
import torch
from timm.layers import LayerScale
from torch import nn

from eomtlib.inference.folding import fold
from eomtlib.models.build import build_model

FACTOR = 1e-5  # where CaiT and DINOv2 start it


def model():
    torch.manual_seed(0)
    built = build_model(
        "eomt", size="nano", pretraining="none", image_size=64, num_classes=3, num_queries=7
    )
    for module in built.modules():
        if isinstance(module, LayerScale):
            nn.init.constant_(module.gamma, FACTOR)
    return built.eval()


def branch(block, x):
    """What the second half of a block adds, under the scale."""
    return block.ls2(block.mlp(block.norm2(x)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_small_scale_survives_its_precision(precision):
    one = model()
    x = torch.randn(1, 20, one.encoder.backbone.embed_dim)
    with torch.inference_mode():
        expected = branch(one.encoder.backbone.blocks[0], x)
        folded = fold(one, precision=precision)
        half = torch.autocast("cpu", getattr(torch, precision), enabled=precision != "float32")
        with half:
            found = branch(folded.encoder.backbone.blocks[0], x).float()
    # float16 keeps eleven bits of what is not below 6e-5; of what is, fewer and fewer.
    bound = {"float32": 1e-6, "bfloat16": 2e-2, "float16": 3e-3}[precision]
    assert (found - expected).norm() / expected.norm() < bound
