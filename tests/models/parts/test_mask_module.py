"""What the mask module keeps until the loss."""

import torch
from torch import nn

from eomtlib.models.parts.mask_module import MaskModule


class InFloat32(nn.Module):
    """What autocast makes of a norm on a GPU."""

    def forward(self, x):
        return x.float()


def test_features_are_kept_in_the_type_of_the_embeddings():
    module = MaskModule(32, num_classes=3, patch_size=8)
    module.upscale.append(InFloat32())
    queries, patches = torch.randn(1, 5, 32), torch.randn(1, 16, 32)
    with torch.autocast("cpu", torch.bfloat16):
        masks = module.masks(queries, patches, (4, 4))
    assert masks.features.dtype == masks.embeddings.dtype == torch.bfloat16
    assert module.masks(queries, patches, (4, 4)).features.dtype == torch.float32
