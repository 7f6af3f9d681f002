"""The masked autoencoder: most patches are hidden, and their pixels predicted from the rest.

He et al., *Masked Autoencoders Are Scalable Vision Learners*, CVPR 2022, Section 3. The encoder is
the very ViT that is later fine-tuned; it sees the visible patches alone. A small decoder, thrown
away afterwards, fills in the hidden ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from eomtlib.core.words import OWN_SIZES
from eomtlib.models.encoders import Encoder, build_encoder
from eomtlib.training.pretraining.config import SHAPES, PretrainingConfig, visible_patches

_FLOOR = 1e-6
_FLOOR_OF_SHAPES = 0.05
"""``shapes`` has pixel noise of variance 0.008: with the paper's floor, patches without a texture
are scaled up to pure noise, which is most of the loss and cannot be predicted."""


@dataclass(frozen=True)
class DecoderSize:
    """Dimensions of the decoder; the defaults are the paper's (Section 4.1).

    Attributes:
        dim: width of a token.
        depth: number of blocks.
        num_heads: attention heads of a block.
    """

    dim: int = 512
    depth: int = 8
    num_heads: int = 16


OWN_DECODER = DecoderSize(dim=96, depth=1, num_heads=3)
"""For encoders of our own sizes."""


class MaskedAutoencoder(nn.Module):
    """An encoder and the decoder that it is pretrained with.

    Args:
        encoder: without rotary embedding; its positions are in the tokens themselves.
        mask_ratio: share of the patches that are hidden, in (0, 1).
        decoder: its dimensions.
        floor: added to the variance of a patch, which is predicted less its mean and divided by
            its standard deviation (Section 3, *Reconstruction target*).
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        mask_ratio: float = 0.75,
        decoder: DecoderSize = OWN_DECODER,
        floor: float = _FLOOR,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.floor = floor
        rows, columns = encoder.grid_size
        self.num_patches = rows * columns
        self.num_visible = visible_patches(self.num_patches, mask_ratio)
        self.embed = nn.Linear(encoder.embed_dim, decoder.dim)
        self.mask_token = nn.Parameter(torch.empty(1, 1, decoder.dim))
        self.positions = nn.Parameter(torch.empty(1, self.num_patches, decoder.dim))
        self.blocks = nn.ModuleList(
            Block(decoder.dim, decoder.num_heads, qkv_bias=True) for _ in range(decoder.depth)
        )
        self.norm = nn.LayerNorm(decoder.dim)
        self.head = nn.Linear(decoder.dim, 3 * encoder.patch_size**2)
        self._initialize()

    def _initialize(self) -> None:
        for part in (self.embed, self.blocks, self.head):
            for module in part.modules():
                if isinstance(module, nn.Linear):
                    nn.init.xavier_uniform_(module.weight)
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.mask_token, std=0.02)
        # Hidden patches differ in their positions alone: faint ones would take long to tell apart.
        nn.init.normal_(self.positions, std=0.2)

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """The mean squared error over the values of the hidden patches, a scalar.

        Args:
            images: ``[B, 3, H, W]``, values 0 to 255.
            noise: ``[B, patches]``, uniform; the patches with the smallest values stay visible.
        """
        visible, hidden = self.split(noise)
        predicted = self.predict(self.encode(images, visible), visible, hidden)
        wanted = _take(self.targets(images), hidden)
        return (predicted.float() - wanted).square().mean()

    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """``forward``, with the hidden patches drawn from a generator on the CPU."""
        noise = torch.rand((len(images), self.num_patches), generator=generator)
        return self(images, noise.to(images.device, non_blocking=True))

    def split(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Positions of the visible patches ``[B, V]`` and of the hidden ones ``[B, P − V]``."""
        order = noise.argsort(dim=1)
        return order[:, : self.num_visible], order[:, self.num_visible :]

    def encode(self, images: Tensor, visible: Tensor) -> Tensor:
        """Prefix tokens and visible patches after the final norm, ``[B, prefix + V, D]``."""
        tokens = self.encoder.embed(images)
        prefix = tokens.x[:, : tokens.num_prefix]
        # Blocks look at nothing but the tokens' values: positions are added already.
        tokens = tokens.with_x(torch.cat((prefix, _take(tokens.patches, visible)), dim=1))
        for index in range(self.encoder.depth):
            tokens = self.encoder.run_block(index, tokens)
        return self.encoder.norm(tokens.x)

    def predict(self, encoded: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """Pixels of the hidden patches ``[B, P − V, 3 · patch²]`` from the encoder's tokens."""
        x = self.embed(encoded)
        prefix, seen = x[:, : -visible.shape[1]], x[:, -visible.shape[1] :]
        positions = self.positions.expand(len(x), -1, -1)
        # Tokens know their positions, so they need not be put back in the order of the image.
        seen = seen + _take(positions, visible)
        x = torch.cat((prefix, seen, self.mask_token + _take(positions, hidden)), dim=1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, -hidden.shape[1] :]))

    def targets(self, images: Tensor) -> Tensor:
        """What is to be predicted of every patch, ``[B, P, 3 · patch²]``."""
        patches = self.patchify(self.encoder.normalize(images.float()))
        mean, deviation = self.statistics(patches)
        return (patches - mean) / deviation

    def statistics(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation ``[B, P, 1]`` of ``[B, P, 3 · patch²]``."""
        variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
        return mean, (variance + self.floor).sqrt()

    def patchify(self, images: Tensor) -> Tensor:
        """``[B, 3, H, W]`` → patches row by row, each as (row, column, channel)."""
        rows, columns = self.encoder.grid_size
        side = self.encoder.patch_size
        x = images.reshape(len(images), 3, rows, side, columns, side)
        return x.permute(0, 2, 4, 3, 5, 1).reshape(len(images), rows * columns, -1)

    def unpatchify(self, patches: Tensor) -> Tensor:
        """The inverse of ``patchify``."""
        rows, columns = self.encoder.grid_size
        side = self.encoder.patch_size
        x = patches.reshape(len(patches), rows, columns, side, side, 3)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(len(x), 3, rows * side, columns * side)


def build_autoencoder(config: PretrainingConfig) -> MaskedAutoencoder:
    """The model of a configuration, with weights drawn from PyTorch's global generator."""
    encoder = build_encoder(size=config.size, pretraining="mim", image_size=config.image_size)
    return MaskedAutoencoder(
        encoder,
        mask_ratio=config.mask_ratio,
        decoder=OWN_DECODER if config.size in OWN_SIZES else DecoderSize(),
        floor=_FLOOR_OF_SHAPES if config.images == SHAPES else _FLOOR,
    )


@torch.no_grad()
def reconstruct(model: MaskedAutoencoder, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """What the model is shown and what it makes of it, to look at.

    Args:
        model: trained or not.
        images: ``[B, 3, H, W]``, values 0 to 255.
        noise: as in ``MaskedAutoencoder.forward``.

    Returns:
        Two uint8 tensors ``[B, 3, H, W]``: the images with hidden patches in grey, and with hidden
        patches as predicted, with their true mean and deviation, which the model does not predict.
    """
    visible, hidden = model.split(noise)
    predicted = model.predict(model.encode(images, visible), visible, hidden).float()
    patches = model.patchify(model.encoder.normalize(images.float()))
    mean, deviation = model.statistics(_take(patches, hidden))
    predicted = predicted * deviation + mean
    index = hidden[..., None].expand_as(predicted)
    shown = []
    for filling in (torch.zeros_like(predicted), predicted):
        whole = model.unpatchify(patches.scatter(1, index, filling))
        values = whole * model.encoder.std + model.encoder.mean
        shown.append(values.round().clamp(0, 255).to(torch.uint8))
    return shown[0], shown[1]


def _take(tokens: Tensor, positions: Tensor) -> Tensor:
    """``[B, P, D]`` at ``[B, K]`` positions → ``[B, K, D]``."""
    return tokens.gather(1, positions[..., None].expand(-1, -1, tokens.shape[-1]))
