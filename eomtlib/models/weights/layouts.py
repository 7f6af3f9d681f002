"""How others name what our models hold: one table of rules for each layout.

A rule turns a name of ours, matched as a whole, into the name of the file's entry that it is filled
from, or into several that are joined (timm keeps query, key and value in one matrix).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Rule = tuple[str, str | tuple[str, ...]]

_REST = r"(?P<rest>.+)"


@dataclass(frozen=True)
class Layout:
    """The names of one kind of file.

    Attributes:
        title: how messages call it.
        rules: tried in order; the first whose pattern is the whole of our name says the file's.
        ignored: pattern of entries that stand in such files and have no counterpart.
    """

    title: str
    rules: tuple[Rule, ...]
    ignored: str = r"(?!)"

    def names(self, ours: str) -> tuple[str, ...]:
        """The file's names for an entry of ours; our own name where no rule has another."""
        for pattern, theirs in self.rules:
            if found := re.fullmatch(pattern, ours):
                several = (theirs,) if isinstance(theirs, str) else theirs
                return tuple(found.expand(name) for name in several)
        return (ours,)

    def is_ignored(self, theirs: str) -> bool:
        """Whether an entry of the file is to be left alone."""
        return re.fullmatch(self.ignored, theirs) is not None


def _within(ours: str, theirs: str, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Rules for a part of a model: a pattern of ours, and what theirs has in its place, before."""
    return tuple(
        (
            ours + pattern,
            theirs + name if isinstance(name, str) else tuple(theirs + part for part in name),
        )
        for pattern, name in rules
    )


_SAME: tuple[Rule, ...] = ((_REST, r"\g<rest>"),)
_SPLIT_WEIGHT = tuple(f"attention.{part}_proj.weight" for part in "qkv")
_SPLIT_BIAS = tuple(f"attention.{part}_proj.bias" for part in "qkv")

# Blocks of timm's DINOv3 → Hugging Face's.
_DINOV3_BLOCK: tuple[Rule, ...] = (
    (r"attn\.qkv\.weight", _SPLIT_WEIGHT),
    (r"attn\.(?P<part>[qv])_bias", r"attention.\g<part>_proj.bias"),
    (r"attn\.proj\.(?P<rest>\w+)", r"attention.o_proj.\g<rest>"),
    (r"gamma_(?P<n>[12])", r"layer_scale\g<n>.lambda1"),
    (r"mlp\.fc1\.(?P<rest>\w+)", r"mlp.up_proj.\g<rest>"),
    (r"mlp\.fc2\.(?P<rest>\w+)", r"mlp.down_proj.\g<rest>"),
    *_SAME,
)

# Blocks of our Plain Mask Decoder → Hugging Face's DINOv3, which the authors use there too.
_PMT_BLOCK: tuple[Rule, ...] = (
    (r"attn\.(?P<part>[qkv])_proj\.(?P<rest>\w+)", r"attention.\g<part>_proj.\g<rest>"),
    (r"attn\.proj\.(?P<rest>\w+)", r"attention.o_proj.\g<rest>"),
    (r"scale(?P<n>[12])", r"layer_scale\g<n>.lambda1"),
    (r"mlp\.0\.(?P<rest>\w+)", r"mlp.up_proj.\g<rest>"),
    (r"mlp\.2\.(?P<rest>\w+)", r"mlp.down_proj.\g<rest>"),
    *_SAME,
)

# Blocks of timm's DINOv2 → Hugging Face's EoMT.
_DINOV2_BLOCK: tuple[Rule, ...] = (
    (r"attn\.qkv\.weight", _SPLIT_WEIGHT),
    (r"attn\.qkv\.bias", _SPLIT_BIAS),
    (r"attn\.proj\.(?P<rest>\w+)", r"attention.out_proj.\g<rest>"),
    (r"ls(?P<n>[12])\.gamma", r"layer_scale\g<n>.lambda1"),
    *_SAME,
)
# Its giant has a gated MLP, whose first two matrices are published as one or as two.
_DINOV2_GATED_BLOCK: tuple[Rule, ...] = (
    (r"mlp\.fc1\.(?P<rest>\w+)", r"mlp.weights_in.\g<rest>"),
    (r"mlp\.fc2\.(?P<rest>\w+)", r"mlp.weights_out.\g<rest>"),
    *_DINOV2_BLOCK,
)
_DINOV2_GATE_APART_BLOCK: tuple[Rule, ...] = (
    (r"mlp\.fc1\.(?P<rest>\w+)", (r"mlp.gate_proj.\g<rest>", r"mlp.up_proj.\g<rest>")),
    (r"mlp\.fc2\.(?P<rest>\w+)", r"mlp.down_proj.\g<rest>"),
    *_DINOV2_BLOCK,
)

_AUTHORS_HEADS: tuple[Rule, ...] = (
    (r"queries", "q.weight"),
    *_within(r"mask_module\.(?=class_head|mask_head)", "", _SAME),
    (r"mask_module\.(?P<at>upscale\.\d+)\.resample\.(?P<rest>\w+)", r"\g<at>.conv1.\g<rest>"),
    (r"mask_module\.(?P<at>upscale\.\d+)\.depthwise\.(?P<rest>\w+)", r"\g<at>.conv2.\g<rest>"),
    (r"mask_module\.(?P<at>upscale\.\d+)\.norm\.(?P<rest>\w+)", r"\g<at>.norm.\g<rest>"),
)

_HF_HEADS: tuple[Rule, ...] = (
    (r"queries", "query.weight"),
    *_within(r"mask_module\.class_head\.", "class_predictor.", _SAME),
    *_within(r"mask_module\.mask_head\.0\.", "mask_head.fc1.", _SAME),
    *_within(r"mask_module\.mask_head\.2\.", "mask_head.fc2.", _SAME),
    *_within(r"mask_module\.mask_head\.4\.", "mask_head.fc3.", _SAME),
    *(
        (
            rf"mask_module\.upscale\.(?P<n>\d+)\.{ours}\.(?P<rest>\w+)",
            rf"upscale_block.block.\g<n>.{theirs}.\g<rest>",
        )
        for ours, theirs in (
            ("resample", "conv1"),
            ("depthwise", "conv2"),
            ("norm", "layernorm2d"),
        )
    ),
)

_BACKBONE = r"encoder\.backbone\."
_BLOCK = r"blocks\.(?P<block>\d+)\."
_BLOCK_THERE = r"blocks.\g<block>."

_AUTHORS_DINOV3: tuple[Rule, ...] = (
    *_within(_BACKBONE + _BLOCK, "encoder.backbone." + _BLOCK_THERE, _DINOV3_BLOCK),
    *_within(
        _BACKBONE + r"patch_embed\.proj\.",
        "encoder.backbone.patch_embed.patch_embeddings.",
        _SAME,
    ),
    (_BACKBONE + "cls_token", "encoder.backbone.patch_embed.cls_token"),
    (_BACKBONE + "reg_token", "encoder.backbone.patch_embed.register_tokens"),
)

_AUTHORS_PMT: tuple[Rule, ...] = (
    *_within("", "decoder.", _AUTHORS_HEADS),
    *_within(_BLOCK, "decoder." + _BLOCK_THERE, _PMT_BLOCK),
    *_within(r"laterals\.(?P<tap>\d+)\.norm\.", r"bn.\g<tap>.", _SAME),
    (r"laterals\.(?P<tap>\d+)\.scale", r"decoder.scalers.\g<tap>"),
    *_within(r"laterals\.(?P<tap>\d+)\.mlp\.", r"decoder.lateral_projections.\g<tap>.", _SAME),
    *_within(r"(?=decoder_norm)", "decoder.", _SAME),
)

_AUTHORS_IGNORED = (
    r"(decoder\.)?attn_mask_probs|encoder\.pixel_(mean|std)|criterion\..+|.*\.mask_token"
)
_HF_IGNORED = r"attn_mask_probs|criterion\.empty_weight|.*\.(position_ids|mask_token)|.*inv_freq"

_HF_EMBEDDINGS: tuple[Rule, ...] = (
    (_BACKBONE + "cls_token", "embeddings.cls_token"),
    (_BACKBONE + "reg_token", "embeddings.register_tokens"),
    *_within(_BACKBONE + r"norm\.", "layernorm.", _SAME),
)
_HF_DINOV2_EMBEDDINGS: tuple[Rule, ...] = (
    (_BACKBONE + "pos_embed", "embeddings.position_embeddings.weight"),
    *_within(_BACKBONE + r"patch_embed\.proj\.", "embeddings.patch_embeddings.projection.", _SAME),
    *_HF_EMBEDDINGS,
)
_HF_LAYER = r"layers.\g<block>."

DINOV3_RELEASE = Layout(
    title="DINOv3 in Hugging Face's layout",
    rules=(
        *_within(_BLOCK, r"layer.\g<block>.", _DINOV3_BLOCK),
        *_within(r"patch_embed\.proj\.", "embeddings.patch_embeddings.", _SAME),
        ("cls_token", "embeddings.cls_token"),
        ("reg_token", "embeddings.register_tokens"),
    ),
    ignored=r"embeddings\.mask_token|.*inv_freq",
)
"""DINOv3 encoders as facebook publishes them on Hugging Face."""

AUTHORS_EOMT = Layout(title="the authors' EoMT", rules=_AUTHORS_HEADS, ignored=_AUTHORS_IGNORED)
AUTHORS_EOMT_DINOV3 = Layout(
    title="the authors' EoMT on DINOv3, whose encoder entries are differences to DINOv3's",
    rules=(*_AUTHORS_DINOV3, *_AUTHORS_HEADS),
    ignored=_AUTHORS_IGNORED,
)
AUTHORS_PMT = Layout(title="the authors' PMT", rules=_AUTHORS_PMT, ignored=_AUTHORS_IGNORED)
AUTHORS_PMT_DINOV3 = Layout(
    title="the authors' PMT on DINOv3",
    rules=(*_AUTHORS_DINOV3, *_AUTHORS_PMT),
    ignored=_AUTHORS_IGNORED,
)


def _hf_eomt(title: str, block: tuple[Rule, ...]) -> Layout:
    return Layout(
        title=title,
        rules=(
            *_within(_BACKBONE + _BLOCK, _HF_LAYER, block),
            *_HF_DINOV2_EMBEDDINGS,
            *_HF_HEADS,
        ),
        ignored=_HF_IGNORED,
    )


HF_EOMT = _hf_eomt("Hugging Face's EoMT", _DINOV2_BLOCK)
HF_EOMT_GATED = _hf_eomt("Hugging Face's EoMT with gated MLPs", _DINOV2_GATED_BLOCK)
HF_EOMT_GATE_APART = _hf_eomt(
    "Hugging Face's EoMT with gated MLPs, the gate apart", _DINOV2_GATE_APART_BLOCK
)
HF_EOMT_DINOV3 = Layout(
    title="Hugging Face's EoMT on DINOv3",
    rules=(
        *_within(_BACKBONE + _BLOCK, _HF_LAYER, _DINOV3_BLOCK),
        *_within(_BACKBONE + r"patch_embed\.proj\.", "embeddings.patch_embeddings.", _SAME),
        *_HF_EMBEDDINGS,
        *_HF_HEADS,
    ),
    ignored=_HF_IGNORED,
)
