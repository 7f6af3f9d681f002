"""Distillation: an encoder learns the features of another that is pretrained already.

Wei et al., *Contrastive Learning Rivals Masked Image Modeling in Fine-tuning via Feature
Distillation*, 2022, Section 3: the teacher's patch features are whitened by a layer norm without
weights, and predicted by a linear layer; here by the squared error. No patch is hidden. The teacher
may be the smaller of the two.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eomtlib.core.words import SHIPPED
from eomtlib.models.encoders import Encoder, build_encoder
from eomtlib.models.weights.encoder import load_pretrained
from eomtlib.training.pretraining.config import PretrainingConfig
from eomtlib.training.pretraining.probe import patch_tokens


class FeatureDistillation(nn.Module):
    """An encoder, the teacher, and the layer between their features.

    Args:
        encoder: what is trained.
        teacher: for the same grid of patches; it stays as it is.
    """

    def __init__(self, encoder: Encoder, teacher: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.teacher = teacher.requires_grad_(False)
        self.head = nn.Linear(encoder.embed_dim, teacher.embed_dim)

    def forward(self, images: Tensor) -> Tensor:
        """The mean squared error over all patches and whitened features, a scalar.

        Args:
            images: ``[B, 3, H, W]``, values 0 to 255.
        """
        with torch.no_grad():
            wanted = _last(self.teacher, images).float()
            wanted = F.layer_norm(wanted, wanted.shape[-1:])
        return (self.head(_last(self.encoder, images)).float() - wanted).square().mean()

    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """``forward``, which draws nothing."""
        return self(images)


def _last(encoder: Encoder, images: Tensor) -> Tensor:
    (tokens,) = patch_tokens(encoder, images, (encoder.depth - 1,))
    return tokens


def build_distillation(config: PretrainingConfig) -> FeatureDistillation:
    """The model of a configuration that names a teacher, with weights from the global generator."""
    encoder = build_encoder(size=config.size, pretraining="mim", image_size=config.image_size)
    model = FeatureDistillation(
        encoder,
        build_encoder(size=config.teacher, pretraining=SHIPPED, image_size=config.image_size),
    )
    load_pretrained(model.teacher, size=config.teacher, pretraining=SHIPPED)
    return model
