"""Putting the parts of a rung together."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.models.encoder_names import encoder_size
from eomtlib.models.encoders import PATCH_SIZE, Encoder, build_encoder
from eomtlib.models.eomt import EoMT
from eomtlib.models.ladder import HEAD_SIZES, LADDER, Rung
from eomtlib.models.mask2former import Mask2Former
from eomtlib.models.options import ModelOptions
from eomtlib.models.parts.feature_pyramid import STRIDES, FeaturePyramid
from eomtlib.models.parts.pixel_decoder import FeatureProjection, PixelDecoder
from eomtlib.models.parts.segmentation_model import SegmentationModel
from eomtlib.models.parts.transformer_decoder import MaskedAttentionDecoder
from eomtlib.models.parts.vit_adapter import ViTAdapter
from eomtlib.models.pmt import PMT, tap_blocks
from eomtlib.models.weights.encoder import load_pretrained


def build_model(
    rung: str,
    *,
    pretraining: str,
    image_size: int | tuple[int, int],
    num_classes: int,
    size: str | None = None,
    num_queries: int | None = None,
    weights: str | Path | None = None,
    load_weights: bool = True,
    **options: Any,
) -> SegmentationModel:
    """Builds a rung of the ladder.

    Args:
        rung: a name of ``LADDER``.
        pretraining: one of ``core.words.PRETRAININGS``, or ``timm:NAME`` for any plain ViT of timm;
            for ``auto`` see ``weights.encoder.resolve_pretraining``.
        image_size: height and width, or one number for a square. Multiples of the model's
            ``size_divisor``.
        num_classes: without "no object".
        size: of the encoder, one of ``core.words.SIZES``; a name of timm's says it.
        num_queries: the size's default when None.
        weights: a local file or folder of encoder weights; None for timm's hub, or for what
            comes with the package; ``random`` for the architecture alone.
        load_weights: False leaves the encoder random (to count costs, or to load a checkpoint).
        options: fields of ``ModelOptions``; what is None or not given is the rung's own.

    Returns:
        A module with ``forward(images, mask_draws=None) -> Predictions`` and
        ``predict(images, masked=None) -> (mask_logits, class_logits)``; see ``SegmentationModel``.

    Raises:
        ConfigurationError: for an unknown name, a choice that the rung does not offer or a size
            that does not fit, or when the weights are not at hand.
        CheckpointError: when the weights file cannot be used.
    """
    spec = LADDER[check_choice("rung", rung, LADDER)]
    choices = ModelOptions(**options).chosen()
    masking, freeze = choices.pop("masking", spec.masking), choices.pop("freeze", spec.freeze)
    for name, value in choices.items():
        if name not in spec.choices:
            raise ConfigurationError(_no_such_choice(spec, name, value))
    height_width = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    size = encoder_size(size, pretraining)
    encoder = build_encoder(size=size, pretraining=pretraining, image_size=height_width)
    if load_weights:
        load_pretrained(encoder, size=size, pretraining=pretraining, weights=weights)
    num_queries = HEAD_SIZES[size].num_queries if num_queries is None else num_queries
    for name, value in (("num_classes", num_classes), ("num_queries", num_queries)):
        if value < 1:
            raise ConfigurationError(f"{name}={value} must be at least 1.")
    heads: dict[str, Any] = {
        "num_classes": num_classes,
        "num_queries": num_queries,
        "masking": masking,
    }
    encoder.freeze(freeze)
    if not spec.has_query_blocks:
        return _mask2former(spec, encoder, size=size, heads=heads)
    choices = {"query_blocks": _own_query_blocks(spec, size)} | choices
    if spec.has_own_blocks:
        return PMT(encoder=encoder, **heads, **choices)
    if not 1 <= choices["query_blocks"] <= encoder.depth:
        raise ConfigurationError(
            f"query_blocks={choices['query_blocks']} must lie between 1 and the encoder's "
            f"{encoder.depth} blocks."
        )
    return EoMT(encoder=encoder, **heads, **choices)


def _mask2former(spec: Rung, encoder: Encoder, *, size: str, heads: dict[str, Any]) -> Mask2Former:
    sizes, dim, patch_size = HEAD_SIZES[size], encoder.embed_dim, encoder.patch_size
    features: ViTAdapter | FeaturePyramid
    if "ViT-Adapter" in spec.parts:
        features = ViTAdapter(encoder, config=sizes.adapter)
    else:
        strides = STRIDES if "feature pyramid" in spec.parts else (STRIDES[0], patch_size)
        features = FeaturePyramid(dim, patch_size=patch_size, strides=strides)
    num_scales = len(features.strides) - 1
    projection = PixelDecoder if "pixel decoder" in spec.parts else FeatureProjection
    return Mask2Former(
        encoder=encoder,
        features=features,
        pixel_decoder=projection(dim, config=sizes.pixel_decoder, num_scales=num_scales),
        decoder=MaskedAttentionDecoder(**heads, num_scales=num_scales, config=sizes.decoder),
    )


@cache
def own_choices(rung: str, *, size: str, pretraining: str) -> ModelOptions:
    """The choices that make a rung what the papers build, all written out.

    Args:
        rung: of the ladder.
        size: of the encoder.
        pretraining: likewise.
    """
    spec = LADDER[check_choice("rung", rung, LADDER)]
    size = encoder_size(size, pretraining)
    own: dict[str, Any] = {"masking": spec.masking, "freeze": spec.freeze}
    if "query_blocks" in spec.choices:
        own["query_blocks"] = _own_query_blocks(spec, size)
    if "taps" in spec.choices:
        with torch.device("meta"):
            side = 4 * PATCH_SIZE
            encoder = build_encoder(size=size, pretraining=pretraining, image_size=(side, side))
        own["lateral_connections"] = True
        own["taps"] = tap_blocks(encoder.depth)
    return ModelOptions(**own)


def _own_query_blocks(spec: Rung, size: str) -> int:
    heads = HEAD_SIZES[size]
    return heads.pmt_blocks if spec.has_own_blocks else heads.query_blocks


def _no_such_choice(spec: Rung, name: str, value: object) -> str:
    if name == "query_blocks":
        why = "its queries go through a Transformer decoder"
    else:
        why = "only a rung with lateral connections offers that"
    offering = ", ".join(rung.name for rung in LADDER.values() if name in rung.choices)
    return (
        f"{name}={value} has no meaning for {spec.name}: {why}; leave it out, or choose a rung "
        f"among {offering}."
    )
