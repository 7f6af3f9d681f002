"""Any plain ViT of timm, by its name there: which can be run, and how large its heads are.

timm has two classes of plain ViT, and blocks that are called with tokens and a mask; the encoders
of this library run these. Whatever else timm publishes is refused here, before anything is built.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

import timm
import torch
from timm.layers import Attention, AttentionRope, PatchEmbed
from timm.models.eva import Eva, EvaAttention, EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Block, ResPostBlock, VisionTransformer
from torch import nn

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.words import TIMM_PREFIX

PAPER_VITS = {"small": (384, 12), "base": (768, 12), "large": (1024, 24), "giant": (1536, 40)}
"""Size of the papers → width and number of blocks of its DINOv2."""

_MODULES = ("vision_transformer", "eva", "deit")
_CLASSES = (VisionTransformer, Eva)
_BLOCKS = (Block, ResPostBlock, EvaBlock, EvaBlockPostNorm)
_ATTENTIONS = (Attention, EvaAttention, AttentionRope)


@dataclass(frozen=True)
class TimmViT:
    """A plain ViT that timm publishes, or can at least build.

    Attributes:
        name: timm's, with the tag of its weights; without one where it has none.
        has_weights: whether there are any.
        size: of the papers, whose heads and defaults it gets.
    """

    name: str
    has_weights: bool
    size: str

    @property
    def pretraining(self) -> str:
        """How parameters and records call it."""
        return TIMM_PREFIX + self.name


def is_timm(pretraining: str) -> bool:
    """Whether a pretraining is one of timm's names, such as ``timm:vit_base_patch16_clip_224``."""
    return pretraining.startswith(TIMM_PREFIX)


def nearest_size(embed_dim: int, depth: int) -> str:
    """The papers' size nearest in width and number of blocks, both compared as ratios."""

    def distance(size: str) -> float:
        width, blocks = PAPER_VITS[size]
        return abs(math.log(embed_dim / width)) + abs(math.log(depth / blocks))

    return min(PAPER_VITS, key=distance)


@cache
def timm_vit(pretraining: str) -> TimmViT:
    """What stands behind one of timm's names.

    Args:
        pretraining: ``timm:NAME`` or ``timm:NAME.TAG``; without a tag timm's own choice.

    Raises:
        ConfigurationError: for a name or tag that timm does not know, with the nearest that it
            does, and for what is no plain ViT, with the reason.
    """
    name = pretraining.removeprefix(TIMM_PREFIX)
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        _unknown(pretraining, architecture)
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        known = f"its tags are {', '.join(tags)}" if tags else "it has none; leave the tag out"
        raise ConfigurationError(
            f"pretraining={pretraining!r}: timm has no weights {tag!r} of {architecture}; {known}."
        )
    module = timm.model_entrypoint(architecture).__module__.rpartition(".")[2]
    if module not in _MODULES:
        _refuse(pretraining, f"it is of timm's {module}")
    with torch.device("meta"):
        backbone = timm.create_model(architecture, pretrained=False, num_classes=0)
    _check_plain(pretraining, backbone)
    tag = tag or (timm.get_pretrained_cfg(architecture).tag if tags else "")
    size = nearest_size(backbone.embed_dim, len(backbone.blocks))
    return TimmViT(f"{architecture}.{tag}" if tag else architecture, bool(tags), size)


def check_timm_size(size: str, pretraining: str) -> None:
    """Raises a ``ConfigurationError`` unless one of timm's names has this size."""
    own = timm_vit(pretraining).size
    if size != own:
        raise ConfigurationError(
            f"size={size!r}, but pretraining={pretraining!r} decides it, and is nearest to "
            f"{own!r}. Leave size out."
        )


def timm_options() -> dict[str, Any]:
    """What timm is told besides patch and image size to build any of its models."""
    # A static size keeps rotary tables and positions on the device.
    return {"dynamic_img_size": False}


def _check_plain(pretraining: str, backbone: nn.Module) -> None:
    """Refuses what an encoder could not run block by block."""
    kind = type(backbone)
    if kind not in _CLASSES:
        _refuse(pretraining, f"timm builds a {kind.__name__}")
    if type(backbone.patch_embed) is not PatchEmbed:
        _refuse(pretraining, f"its patches come from a {type(backbone.patch_embed).__name__}")
    block = backbone.blocks[0]
    if type(block) not in _BLOCKS:
        _refuse(pretraining, f"its blocks are timm's {type(block).__name__}")
    if type(block.attn) not in _ATTENTIONS:
        _refuse(pretraining, f"its attention is timm's {type(block.attn).__name__}")


def _refuse(pretraining: str, reason: str) -> NoReturn:
    raise ConfigurationError(
        f"pretraining={pretraining!r} is no plain ViT that can be run here: {reason}. It must be a "
        "VisionTransformer or Eva of timm with one attention and one MLP after the other in each "
        "block, such as 'timm:vit_base_patch16_siglip_512.v2_webli'."
    )


def _unknown(pretraining: str, architecture: str) -> NoReturn:
    known = [name for module in _MODULES for name in timm.list_models(module=module)]
    close = difflib.get_close_matches(architecture, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(TIMM_PREFIX + name) for name in close)}?"
    raise ConfigurationError(
        f"pretraining={pretraining!r}: timm knows no {architecture!r}.{hint if close else ''} "
        "timm.list_models('vit*') lists its ViTs."
    )
