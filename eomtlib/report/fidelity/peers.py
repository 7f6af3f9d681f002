"""EoMT and Mask2Former's parts against transformers', at the same random weights, in float32.

This needs transformers, in a version that has EoMT on DINOv3.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import transformers
from torch import Tensor
from transformers.models.mask2former import modeling_mask2former as mask2former

from eomtlib.core.predictions import Predictions
from eomtlib.core.structures import SegmentMap
from eomtlib.models.checkpoints import load_model
from eomtlib.models.parts.pixel_decoder import PixelDecoder, PixelDecoderConfig
from eomtlib.models.parts.transformer_decoder import DecoderConfig, MaskedAttentionDecoder
from eomtlib.report.fidelity.difference import Difference, compare
from eomtlib.report.fidelity.inputs import normalized, random_images, spread_weights
from eomtlib.training.hyperparameters import LossConfig
from eomtlib.training.loss import SegmentationLoss

TOLERANCE = 1e-4
LOSS_TOLERANCE = 1e-5

_compare = partial(compare, against="transformers", tolerance=TOLERANCE)

_PIXEL_DECODER_NAMES = {
    "input_projections": "projections",
    "encoder.layers": "layers",
    "adapter_1": "lateral",
    "layer_1": "output",
    "self_attn_layer_norm": "attention_norm",
    "self_attn": "attention",
    "final_layer_norm": "ffn_norm",
}
_DECODER_NAMES = {
    "decoder.mask_predictor.mask_embedder.0.0": "mask_head.0",
    "decoder.mask_predictor.mask_embedder.1.0": "mask_head.2",
    "decoder.mask_predictor.mask_embedder.2.0": "mask_head.4",
    "decoder.layernorm": "norm",
    "decoder.layers": "layers",
    "queries_embedder.weight": "query_positions",
    "queries_features.weight": "query_features",
    "level_embed.weight": "level_embed",
    "self_attn_layer_norm": "self_attention_norm",
    "cross_attn_layer_norm": "cross_attention_norm",
    "self_attn": "self_attention",
    "cross_attn": "cross_attention",
    "final_layer_norm": "ffn_norm",
}


@torch.no_grad()
def eomt_difference(folder: Path, *, dinov3: bool) -> Difference:
    """EoMT, masked and unmasked, loaded from a folder that transformers has written.

    Args:
        folder: an empty one.
        dinov3: on DINOv3 instead of DINOv2.
    """
    torch.manual_seed(0)
    shape = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6}
    shape |= {"num_blocks": 3, "num_queries": 12, "num_labels": 7, "image_size": 96}
    if dinov3:
        config = transformers.EomtDinov3Config(**shape, intermediate_size=1536, layer_norm_eps=1e-5)
        reference = transformers.EomtDinov3ForUniversalSegmentation(config)
    else:
        reference = transformers.EomtForUniversalSegmentation(transformers.EomtConfig(**shape))
    reference.eval()
    spread_weights(reference)
    reference.save_pretrained(folder)
    model, _ = load_model(folder)
    images = random_images(96, 96)
    values = normalized(images, model.encoder.backbone.pretrained_cfg)
    pairs = []
    for masked in (True, False):
        reference.attn_mask_probs.fill_(float(masked))
        theirs = reference(values)
        ours = model.predict(images, masked=masked)
        pairs += zip(ours, (theirs.masks_queries_logits, theirs.class_queries_logits), strict=True)
    name = "EoMT on DINOv3" if dinov3 else "EoMT on DINOv2"
    return _compare(f"{name}, from its folder", pairs)


@torch.no_grad()
def pixel_decoder_difference() -> Difference:
    """The deformable pixel decoder's mask features and scales."""
    torch.manual_seed(0)
    widths = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32}
    depths = {"encoder_layers": 2, "encoder_feedforward_dim": 64, "num_attention_heads": 4}
    theirs = transformers.Mask2FormerConfig(**widths, **depths)
    reference = mask2former.Mask2FormerPixelDecoder(theirs, feature_channels=[12] * 4).eval()
    # Every entry at random: level_embed is allocated but not filled outside the whole model.
    state = {key: 0.2 * torch.randn(v.shape) for key, v in reference.state_dict().items()}
    reference.load_state_dict(state)
    config = PixelDecoderConfig(dim=32, num_layers=2, num_heads=4, ffn_dim=64, num_groups=32)
    ours = PixelDecoder(12, config=config).eval()
    ours.load_state_dict(_renamed(state, _PIXEL_DECODER_NAMES))
    maps = [torch.randn(2, 12, 16 // factor, 24 // factor) for factor in (1, 2, 4, 8)]
    expected = reference(maps, return_dict=True)
    mask_features, scales = ours(tuple(maps))
    pairs = [(mask_features, expected.mask_features)]
    pairs += zip(scales, expected.multi_scale_features, strict=True)
    return _compare("deformable pixel decoder", pairs)


@torch.no_grad()
def decoder_difference() -> Difference:
    """The masked-attention decoder's masks and normed queries, at every layer."""
    torch.manual_seed(0)
    config = DecoderConfig(dim=32, num_layers=4, num_heads=4, ffn_dim=48)
    widths = {"hidden_dim": 32, "mask_feature_size": 32, "dim_feedforward": config.ffn_dim}
    depths = {"decoder_layers": config.num_layers + 1, "num_attention_heads": config.num_heads}
    theirs = transformers.Mask2FormerConfig(num_queries=10, **widths, **depths)
    reference = mask2former.Mask2FormerTransformerModule(32, theirs).eval()
    ours = MaskedAttentionDecoder(
        num_queries=10, num_classes=5, masking="masked", num_scales=3, config=config
    ).eval()
    state = _apart(_renamed(reference.state_dict(), _DECODER_NAMES))
    # The class head is not part of their decoder.
    head = {name: value for name, value in ours.state_dict().items() if "class_head" in name}
    ours.load_state_dict(state | head)
    mask_features = torch.randn(2, 32, 16, 24)
    scales = [torch.randn(2, 32, 2 << i, 3 << i) for i in range(3)]
    expected = reference(scales, mask_features)
    predictions = ours(mask_features, tuple(scales))
    pairs = list(zip(predictions.mask_logits, expected.masks_queries_logits, strict=True))
    normed = expected.intermediate_hidden_states
    heads = [ours.class_head(queries.transpose(0, 1)) for queries in normed]
    pairs += zip(predictions.class_logits, heads, strict=True)
    return _compare("masked-attention decoder", pairs)


def loss_differences() -> list[Difference]:
    """Each term of the loss, matching included, on the same points."""
    num_classes, num_points = 6, 160
    generator = torch.Generator().manual_seed(0)
    ids = torch.full((1, 24, 32), -1, dtype=torch.int16)
    for segment in range(4):
        y, x = (int(torch.randint(0, side, (1,), generator=generator)) for side in (14, 20))
        ids[0, y : y + 10, x : x + 12] = segment
    labels = torch.randint(0, num_classes, (4,), generator=generator)
    masks = 3 * torch.randn(1, 9, 6, 8, generator=generator)
    classes = 3 * torch.randn(1, 9, num_classes + 1, generator=generator)
    # With one image and one layer both draw the same numbers in the same order.
    seed = 7
    ours = SegmentationLoss(num_classes, LossConfig(num_points=num_points))(
        Predictions.from_dense([masks], [classes]),
        [SegmentMap(ids, labels, torch.zeros(4, dtype=torch.bool))],
        generators=[torch.Generator().manual_seed(seed)],
    )
    config = transformers.Mask2FormerConfig(num_labels=num_classes, train_num_points=num_points)
    target = (ids == torch.arange(4)[:, None, None]).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        theirs = mask2former.Mask2FormerLoss(config, weight_dict={})(
            masks, classes, [target], [labels]
        )
    terms = {
        "classes": (ours.class_loss, theirs["loss_cross_entropy"]),
        "masks": (ours.mask_loss, theirs["loss_mask"]),
        "Dice": (ours.dice_loss, theirs["loss_dice"]),
    }
    return [
        _compare(
            f"loss and matching: {what}",
            [(own.detach().reshape(()), other.detach().reshape(()))],
            tolerance=LOSS_TOLERANCE,
        )
        for what, (own, other) in terms.items()
    ]


def all_differences(folder: Path) -> list[Difference]:
    """Every comparison of this page; ``folder`` is an empty one, for files."""
    return [
        eomt_difference(folder / "dinov2", dinov3=False),
        eomt_difference(folder / "dinov3", dinov3=True),
        pixel_decoder_difference(),
        decoder_difference(),
        *loss_differences(),
    ]


def _renamed(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    ours = {}
    for key, value in state.items():
        for theirs, mine in names.items():
            key = key.replace(theirs, mine)
        ours[key] = value
    return ours


def _apart(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Packed projections of query, key and value as three."""
    apart = {}
    for key, value in state.items():
        packed = "in_proj_" in key
        names = [key.replace("in_proj_", f"{part}_proj.") for part in "qkv"] if packed else [key]
        apart |= zip(names, value.chunk(len(names)), strict=True)
    return apart
