"""transformers' EoMT with the weights of ours, its loss and its processor."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from transformers import EomtConfig, EomtForUniversalSegmentation, EomtImageProcessor

from eomtlib.models.checkpoints import load_model

SHAPES = {
    "small": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6},
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
}
NUM_CLASSES = 133


def eomt_pair(size: str, *, side: int) -> tuple[nn.Module, EomtForUniversalSegmentation]:
    """Our EoMT and transformers', with the same random weights, in eval mode and not masked."""
    torch.manual_seed(0)
    config = EomtConfig(
        **SHAPES[size], num_blocks=3, image_size=side, num_labels=NUM_CLASSES, num_queries=200
    )
    theirs = EomtForUniversalSegmentation(config).eval()
    theirs.attn_mask_probs.zero_()
    with TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours, _ = load_model(Path(folder))
    return ours, theirs


def processor(side: int) -> EomtImageProcessor:
    """Fits an image into a square and pads it, as EoMT's panoptic evaluation does."""
    return EomtImageProcessor(size={"shortest_edge": side, "longest_edge": side}, do_pad=True)


def mask_stacks(maps: list[Tensor], labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Targets as transformers' loss takes them: a float mask for each segment, and its class."""
    masks = [
        (ids == torch.arange(len(own), device=ids.device)[:, None, None]).float()
        for ids, own in zip(maps, labels, strict=True)
    ]
    return masks, labels
