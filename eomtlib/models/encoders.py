"""Encoders: a plain ViT of timm, run block by block.

An encoder normalises its images, embeds them, runs whole timm blocks one at a time and applies the
final norm. It holds no state of an input (that travels in ``Tokens``), so several heads can share
one. Two small classes cover timm's two families of ViT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import timm
import torch
from timm.layers import LayerScale, RotaryEmbeddingDinoV3
from timm.models.eva import Eva, EvaBlockPostNorm
from timm.models.vision_transformer import ResPostBlock, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.machine.cpu_products import choose_products
from eomtlib.core.structures import Tokens
from eomtlib.core.words import OWN_PRETRAININGS
from eomtlib.models.encoder_names import OWN_VITS, timm_name
from eomtlib.models.rotary import RescaledRope
from eomtlib.models.timm_vits import is_timm, timm_options

PATCH_SIZE = 16


class Encoder(nn.Module):
    """A timm ViT, run block by block.

    Images are ``[B, 3, H, W]`` with values 0 to 255, of any dtype; H and W are fixed by
    ``set_image_size``.

    Args:
        backbone: the timm model, built with ``num_classes=0``.
        mean: of the red, green and blue channel, for values scaled to [0, 1].
        std: likewise.

    Attributes:
        embed_dim: width D of a token.
        depth: number of blocks.
        num_heads: attention heads of a block.
        num_prefix: class and register tokens.
        patch_size: side of a patch in pixels.
        frozen: what of it learns nothing (``freeze``).
    """

    mean: Tensor
    std: Tensor
    activation_checkpointing = False
    """Whether training keeps only each block's input and computes the rest again (Chen et al.,
    *Training Deep Nets with Sublinear Memory Cost*, 2016): memory for a second forward pass."""
    rope_is_dinov3: ClassVar[bool] = False

    def __init__(
        self, backbone: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.embed_dim: int = backbone.embed_dim
        self.depth = len(backbone.blocks)
        self.num_heads: int = backbone.blocks[0].attn.num_heads
        self.num_prefix: int = backbone.num_prefix_tokens
        self.patch_size: int = backbone.patch_embed.patch_size[0]
        self.frozen, self._frozen_parts = "none", list[nn.Module]()
        self.register_buffer("mean", 255 * torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).view(3, 1, 1), persistent=False)

    def freeze(self, what: str) -> None:
        """Stops a part from learning: it gets no gradient, and stays in eval mode.

        What nothing trained comes before is computed without a graph.

        Args:
            what: ``encoder`` for all, ``none``, or a number of blocks, with the embeddings before
                them.

        Raises:
            ConfigurationError: where there are not so many blocks.
        """
        self.frozen, self._frozen_parts = what, []
        self.requires_grad_(True)
        if what == "encoder":
            self._frozen_parts = [self.backbone]
        elif what != "none":
            count = int(what)
            if not 1 <= count <= self.depth:
                raise ConfigurationError(
                    f"freeze={what!r} must be 'encoder', 'none', or a number of the encoder's "
                    f"blocks, from 1 to {self.depth}."
                )
            after = {"blocks", "norm", "fc_norm"}
            before = (part for name, part in self.backbone.named_children() if name not in after)
            self._frozen_parts = [*before, *self.backbone.blocks[:count]]
            for parameter in self.backbone.parameters(recurse=False):  # positions, class token
                parameter.requires_grad_(False)
        for part in self._frozen_parts:
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Encoder:
        """Puts all but what is frozen into training mode."""
        super().train(mode)
        for part in self._frozen_parts:
            part.eval()
        return self

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images it takes."""
        return tuple(self.backbone.patch_embed.img_size)

    @property
    def grid_size(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return tuple(self.backbone.patch_embed.grid_size)

    def set_image_size(self, image_size: tuple[int, int]) -> None:
        """Resamples the position embedding (bicubically, as timm does) for another image size."""
        check_multiple(image_size, self.patch_size)
        self.backbone.set_input_size(img_size=image_size)

    def products(self, device: str, precision: str, *, batch_size: int) -> str:
        """What multiplies its matrices for so many images at once, of ``cpu_products``."""
        rows, columns = self.grid_size
        return choose_products(
            device,
            precision,
            batch_size=batch_size,
            num_tokens=rows * columns,
            width=self.embed_dim,
        )

    def normalize(self, images: Tensor) -> Tensor:
        """Values 0 to 255 → zero mean and unit variance of the encoder's own statistics."""
        return (images - self.mean) / self.std

    def embed(self, images: Tensor) -> Tokens:
        """``[B, 3, H, W]`` images → tokens before the first block."""
        raise NotImplementedError

    def run_block(self, index: int, tokens: Tokens, attn_mask: Tensor | None = None) -> Tokens:
        """Runs one block.

        Args:
            index: of the block, from 0.
            tokens: its input.
            attn_mask: bool, broadcastable to ``[B, heads, N, N]``, True = attend; None for all.
        """
        options = self.block_options(index, tokens) | {"attn_mask": attn_mask}
        return tokens.with_x(self.call(self.backbone.blocks[index], tokens.x, **options))

    def call(self, block: Callable[..., Tensor], x: Tensor, **options: Tensor | None) -> Tensor:
        """Calls a block, of this encoder or on top of it, as ``activation_checkpointing`` says."""
        learns = x.requires_grad or block not in self._frozen_parts
        if self.activation_checkpointing and torch.is_grad_enabled() and learns:
            return checkpoint(block, x, use_reentrant=False, **options)
        return block(x, **options)

    def tap(self, images: Tensor, blocks: Sequence[int]) -> tuple[Tokens, list[Tokens]]:
        """Runs the encoder and looks at some blocks.

        Args:
            images: ``[B, 3, H, W]``, values 0 to 255.
            blocks: indices, ascending; what comes after the last is not computed.

        Returns:
            The tokens before the first block, and those after each of ``blocks``.
        """
        embedded = tokens = self.embed(images)
        tapped = []
        for index in range(1 + max(blocks, default=-1)):
            tokens = self.run_block(index, tokens)
            if index in blocks:
                tapped.append(tokens)
        return embedded, tapped

    def block_options(self, index: int, tokens: Tokens) -> dict[str, Tensor | None]:
        """What the block ``index`` takes besides tokens and mask."""
        return {}

    def take_layer_scales(self) -> list[tuple[nn.Linear, Tensor]]:
        """Removes LayerScale.

        Returns:
            The linear layers whose outputs it multiplied, each with the factor ``[D]``; none for an
            encoder without.
        """
        return [pair for block in self.backbone.blocks for pair in self.take_block_scales(block)]

    def take_block_scales(self, block: nn.Module) -> list[tuple[nn.Linear, Tensor]]:
        """``take_layer_scales`` of one block."""
        raise NotImplementedError

    def norm(self, x: Tensor) -> Tensor:
        """The final norm on ``[B, N, D]``, where the encoder has one."""
        # timm keeps it under the second name where a classifier would average before it.
        return self.backbone.fc_norm(self.backbone.norm(x))

    def forward(self, images: Tensor) -> Tensor:
        """All tokens after the last block and the final norm, ``[B, N, D]``."""
        tokens = self.embed(images)
        for index in range(self.depth):
            tokens = self.run_block(index, tokens)
        return self.norm(tokens.x)


class PlainEncoder(Encoder):
    """timm's ``VisionTransformer``: DINOv2, DeiT-III, our own sizes, and CLIP, SigLIP, MAE, ..."""

    backbone: VisionTransformer

    def embed(self, images: Tensor) -> Tokens:
        x = self.backbone.patch_embed(self.normalize(images))
        x = self.backbone.norm_pre(self.backbone._pos_embed(x))
        return Tokens(x, grid=self.grid_size, num_prefix=self.num_prefix)

    def take_block_scales(self, block: nn.Module) -> list[tuple[nn.Linear, Tensor]]:
        if isinstance(block, ResPostBlock):
            return []
        taken = [
            (layer, scale.gamma)
            for layer, scale in ((block.attn.proj, block.ls1), (block.mlp.fc2, block.ls2))
            if isinstance(scale, LayerScale)
        ]
        block.ls1, block.ls2 = nn.Identity(), nn.Identity()
        return taken


class RotaryEncoder(Encoder):
    """timm's ``Eva``: EVA-02, DINOv3, ..., most of whose attention rotates the patch tokens."""

    backbone: Eva

    @property
    def rope_is_dinov3(self) -> bool:
        """Whether the rotary table is DINOv3's: (sin, cos) for the rotate-half layout."""
        is_dinov3 = isinstance(self.backbone.rope, RotaryEmbeddingDinoV3)
        return is_dinov3 and self.backbone.blocks[0].attn.rotate_half

    def embed(self, images: Tensor) -> Tokens:
        x = self.backbone.patch_embed(self.normalize(images))
        x, rope = self.backbone._pos_embed(x)
        x = self.backbone.norm_pre(x)
        return Tokens(x, grid=self.grid_size, num_prefix=self.num_prefix, rope=rope)

    def block_options(self, index: int, tokens: Tokens) -> dict[str, Tensor | None]:
        # Frequencies that are learned differ from block to block, and so do their tables.
        return {"rope": tokens.rope[index] if self.backbone.rope_mixed else tokens.rope}

    def take_block_scales(self, block: nn.Module) -> list[tuple[nn.Linear, Tensor]]:
        if isinstance(block, EvaBlockPostNorm):
            return []
        taken = [
            (layer, factor)
            for layer, factor in ((block.attn.proj, block.gamma_1), (block.mlp.fc2, block.gamma_2))
            if factor is not None
        ]
        block.gamma_1, block.gamma_2 = None, None
        return taken


def check_multiple(image_size: tuple[int, int], divisor: int, *, why: str = "patch size") -> None:
    """Raises a ``ConfigurationError`` unless both sides are positive multiples of ``divisor``."""
    if all(side > 0 and side % divisor == 0 for side in image_size):
        return
    near = tuple(max(divisor, round(side / divisor) * divisor) for side in image_size)
    raise ConfigurationError(
        f"image_size={image_size[0]}×{image_size[1]} is no multiple of the {why}, {divisor}. "
        f"The nearest that is: {near[0]}×{near[1]}."
    )


def _initialize_narrow(backbone: VisionTransformer) -> None:
    """Starts a narrow ViT at variances that suit its width.

    timm's standard deviation of 0.02 is meant for 384 channels and more: at 128, patches and
    positions start so faint that learning from scratch takes twice as long.
    """
    for module in backbone.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    projection = backbone.patch_embed.proj.weight
    nn.init.xavier_uniform_(projection.flatten(1))
    nn.init.normal_(backbone.pos_embed, std=0.2)


def build_encoder(*, size: str, pretraining: str, image_size: tuple[int, int]) -> Encoder:
    """An encoder with random weights; ``weights.encoder.load_pretrained`` fills it.

    For ``OWN_PRETRAININGS`` the architecture is DINOv2's (class token, four registers, LayerScale),
    with LayerScale started at 1: DINOv2's own 1e-5 is meant for its training recipe, and keeps
    blocks that are trained from scratch for a few thousand steps from learning.

    Args:
        size: one of ``SIZES``.
        pretraining: one of ``PRETRAININGS``, or ``timm:NAME``; it decides the architecture.
        image_size: height and width, multiples of the patch size.

    Raises:
        ConfigurationError: for an unknown name, or an image size that does not fit.
    """
    name = timm_name(size, pretraining)
    options: dict[str, Any] = {"patch_size": PATCH_SIZE} | OWN_VITS.get(size, {})
    check_multiple(image_size, options["patch_size"])
    if pretraining in OWN_PRETRAININGS:
        options["init_values"] = 1.0
    if pretraining == "dinov3":
        options["dynamic_img_size"] = False  # a static size keeps the table on the device
    if is_timm(pretraining):
        options |= timm_options()
    backbone = timm.create_model(
        name, pretrained=False, img_size=image_size, num_classes=0, **options
    )
    backbone.attn_pool = None  # a classifier's, as the head
    if size in OWN_VITS:
        _initialize_narrow(backbone)
    if "dinov3" in name:  # its authors train with rescaled coordinates
        rope = backbone.rope
        backbone.rope = RescaledRope(
            rope.dim, feat_shape=rope.feat_shape, temperature=rope.temperature
        )
    family = RotaryEncoder if isinstance(backbone, Eva) else PlainEncoder
    return family(backbone, backbone.pretrained_cfg["mean"], backbone.pretrained_cfg["std"])
