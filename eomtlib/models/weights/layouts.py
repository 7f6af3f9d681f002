"""How others name what our models hold: one table of renamings for each layout.

A renaming is a pattern of our names and what stands in its place in the file's. All of a table's
are applied in their order, each to the result of the one before. Braces stand for several entries
that are joined, as in a shell: ``{q,k,v}_proj`` (timm keeps query, key and value in one matrix).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Renamings = dict[str, str]


@dataclass(frozen=True)
class Layout:
    """The names of one kind of file.

    Attributes:
        title: how messages call it.
        renamings: pattern → replacement, as ``re.sub`` takes them.
        ignored: pattern of entries that stand in such files and have no counterpart.
    """

    title: str
    renamings: Renamings
    ignored: str = r"(?!)"

    def names(self, ours: str) -> tuple[str, ...]:
        """The file's names for an entry of ours; our own name where nothing renames it."""
        name = ours
        for pattern, replacement in self.renamings.items():
            name = re.sub(pattern, replacement, name)
        if not (several := re.search(r"\{(.+)\}", name)):
            return (name,)
        return tuple(name.replace(several[0], part) for part in several[1].split(","))

    def is_ignored(self, theirs: str) -> bool:
        """Whether an entry of the file is to be left alone."""
        return re.fullmatch(self.ignored, theirs) is not None


OWN_NAMES = Layout("eomtlib", {})
"""Files that call everything as our models do."""

TRAINING_STATE = Layout("an unfinished training of eomtlib", {"^": "model."}, r"averaged\..*")
AVERAGED_STATE = Layout(
    "an unfinished training of eomtlib", {"^": "averaged.average."}, r"model\..*|averaged\.updates"
)
"""States of Lightning's; of the second the average of the weights is what counts."""

# What follows the name of a block: timm's DINOv3 → Hugging Face's.
_DINOV3_BLOCK = {
    r"(?<=\d\.)attn\.qkv\.": "attention.{q,k,v}_proj.",
    r"(?<=\d\.)attn\.([qv])_bias": r"attention.\1_proj.bias",
    r"(?<=\d\.)attn\.proj\.": "attention.o_proj.",
    r"(?<=\d\.)gamma_([12])": r"layer_scale\1.lambda1",
    r"(?<=\d\.)mlp\.fc1(_x)?\.": "mlp.up_proj.",
    r"(?<=\d\.)mlp\.fc1_g\.": "mlp.gate_proj.",
    r"(?<=\d\.)mlp\.fc2\.": "mlp.down_proj.",
}
# Timm's DINOv2 → Hugging Face's EoMT.
_DINOV2_BLOCK = {
    r"attn\.qkv\.": "attention.{q,k,v}_proj.",
    r"attn\.proj\.": "attention.out_proj.",
    r"ls([12])\.gamma": r"layer_scale\1.lambda1",
}
# Its giant has a gated MLP, whose first two matrices are published as one or as two.
_GATED = {r"mlp\.fc1": "mlp.weights_in", r"mlp\.fc2": "mlp.weights_out"}
_GATE_APART = {r"mlp\.fc1": "mlp.{gate,up}_proj", r"mlp\.fc2": "mlp.down_proj"}

_AUTHORS_HEADS = {
    r"^queries$": "q.weight",
    r"^mask_module\.": "",
    r"^(upscale\.\d+)\.resample\.": r"\1.conv1.",
    r"^(upscale\.\d+)\.depthwise\.": r"\1.conv2.",
}
_AUTHORS_DINOV3 = {
    r"^(encoder\.backbone\.)patch_embed\.proj\.": r"\1patch_embed.patch_embeddings.",
    r"^(encoder\.backbone\.)cls_token": r"\1patch_embed.cls_token",
    r"^(encoder\.backbone\.)reg_token": r"\1patch_embed.register_tokens",
}
# The decoder's blocks are those of Hugging Face's DINOv3.
_AUTHORS_PMT = _AUTHORS_HEADS | {
    r"^laterals\.(\d+)\.norm\.": r"bn.\1.",
    r"^laterals\.(\d+)\.scale": r"decoder.scalers.\1",
    r"^laterals\.(\d+)\.mlp\.": r"decoder.lateral_projections.\1.",
    r"^(blocks\.\d+\.)attn\.([qkv])_proj\.": r"\1attention.\2_proj.",
    r"^(blocks\.\d+\.)attn\.proj\.": r"\1attention.o_proj.",
    r"^(blocks\.\d+\.)scale([12])": r"\1layer_scale\2.lambda1",
    r"^(blocks\.\d+\.)mlp\.0\.": r"\1mlp.up_proj.",
    r"^(blocks\.\d+\.)mlp\.2\.": r"\1mlp.down_proj.",
    r"^(?!encoder\.|bn\.|decoder\.)|^(?=decoder_norm)": "decoder.",
}
_AUTHORS_IGNORED = (
    r"(decoder\.)?attn_mask_probs|encoder\.pixel_(mean|std)|criterion\..+|.*\.mask_token"
)

_HF = {
    r"^encoder\.backbone\.cls_token": "embeddings.cls_token",
    r"^encoder\.backbone\.reg_token": "embeddings.register_tokens",
    r"^encoder\.backbone\.norm\.": "layernorm.",
    r"^encoder\.backbone\.blocks\.": "layers.",
    r"^queries$": "query.weight",
    r"^mask_module\.class_head\.": "class_predictor.",
    r"^mask_module\.mask_head\.0\.": "mask_head.fc1.",
    r"^mask_module\.mask_head\.2\.": "mask_head.fc2.",
    r"^mask_module\.mask_head\.4\.": "mask_head.fc3.",
    r"^mask_module\.upscale\.(\d+)\.": r"upscale_block.block.\1.",
    r"^(upscale_block\.block\.\d+)\.resample\.": r"\1.conv1.",
    r"^(upscale_block\.block\.\d+)\.depthwise\.": r"\1.conv2.",
    r"^(upscale_block\.block\.\d+)\.norm\.": r"\1.layernorm2d.",
}
_HF_DINOV2 = {
    r"^encoder\.backbone\.pos_embed": "embeddings.position_embeddings.weight",
    r"^encoder\.backbone\.patch_embed\.proj\.": "embeddings.patch_embeddings.projection.",
    **_HF,
    **_DINOV2_BLOCK,
}
_HF_DINOV3 = {
    r"^encoder\.backbone\.patch_embed\.proj\.": "embeddings.patch_embeddings.",
    **_HF,
    **_DINOV3_BLOCK,
}
_HF_IGNORED = r"attn_mask_probs|criterion\.empty_weight|.*\.(position_ids|mask_token)|.*inv_freq"

_ENCODER_IGNORED = (
    r"(head\.|attn_pool\.|fc_norm\.|mask_token|norm\.).*|embeddings\.mask_token|.*inv_freq"
)
TIMM = Layout("timm's", {}, _ENCODER_IGNORED)
"""Encoders under the names of our models, which are timm's."""
DINOV3_RELEASE = Layout(
    "DINOv3 in Hugging Face's layout",
    {
        r"^blocks\.": "layer.",
        r"^patch_embed\.proj\.": "embeddings.patch_embeddings.",
        r"^cls_token": "embeddings.cls_token",
        r"^reg_token": "embeddings.register_tokens",
    }
    | _DINOV3_BLOCK,
    _ENCODER_IGNORED,
)
"""DINOv3 encoders as facebook publishes them on Hugging Face."""

AUTHORS_EOMT = Layout("the authors' EoMT", _AUTHORS_HEADS, _AUTHORS_IGNORED)
AUTHORS_EOMT_DINOV3 = Layout(
    "the authors' EoMT on DINOv3, whose encoder entries are differences to DINOv3's",
    _DINOV3_BLOCK | _AUTHORS_DINOV3 | _AUTHORS_HEADS,
    _AUTHORS_IGNORED,
)
AUTHORS_PMT = Layout("the authors' PMT", _AUTHORS_PMT, _AUTHORS_IGNORED)
AUTHORS_PMT_DINOV3 = Layout(
    "the authors' PMT on DINOv3",
    _AUTHORS_PMT | _DINOV3_BLOCK | _AUTHORS_DINOV3,
    _AUTHORS_IGNORED,
)
HF_EOMT = Layout("Hugging Face's EoMT", _HF_DINOV2, _HF_IGNORED)
HF_EOMT_GATED = Layout("Hugging Face's EoMT with gated MLPs", _GATED | _HF_DINOV2, _HF_IGNORED)
HF_EOMT_GATE_APART = Layout(
    "Hugging Face's EoMT with gated MLPs, the gate apart", _GATE_APART | _HF_DINOV2, _HF_IGNORED
)
HF_EOMT_DINOV3 = Layout("Hugging Face's EoMT on DINOv3", _HF_DINOV3, _HF_IGNORED)
