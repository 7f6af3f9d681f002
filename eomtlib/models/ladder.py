"""The ladder: seven models as data, each one component lighter than the one before.

This is the page to read first. A rung says which parts it is made of, what it loses against the
step before it, and what the paper finds that this costs. ``build_model`` puts the parts together;
each part is one file of ``models/``.

    rung              features for the decoder    pixel decoder   queries go through       masked
    0 vit-adapter-m2f ViT-Adapter, 4 scales       deformable      Transformer decoder      always
    1 no-adapter      pyramid of the ViT's output deformable      Transformer decoder      always
    2 no-pixel-decoder pyramid                    –               Transformer decoder      always
    3 single-scale    F16 alone (F4 for masks)    –               Transformer decoder      always
    4 eomt-masked     –                           –               the ViT's last blocks    always
    5 eomt            –                           –               the ViT's last blocks    annealed
    6 pmt             taps of a frozen ViT        –               six plain blocks         annealed
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.models.encoders import PATCH_SIZE, Encoder, build_encoder
from eomtlib.models.eomt import EoMT
from eomtlib.models.mask2former import Mask2Former
from eomtlib.models.options import ModelOptions
from eomtlib.models.parts.feature_pyramid import FeaturePyramid, pyramid_strides
from eomtlib.models.parts.pixel_decoder import FeatureProjection, PixelDecoder, PixelDecoderConfig
from eomtlib.models.parts.segmentation_model import SegmentationModel
from eomtlib.models.parts.transformer_decoder import DecoderConfig, MaskedAttentionDecoder
from eomtlib.models.parts.vit_adapter import AdapterConfig, ViTAdapter
from eomtlib.models.pmt import PMT, tap_blocks
from eomtlib.models.weights.encoder import load_pretrained


@dataclass(frozen=True)
class Rung:
    """One model of the study.

    Attributes:
        name: as used in parameters, records and plots.
        step: its place on the ladder, from 0.
        title: how the papers call it.
        parts: what it is made of.
        loses: what the step before it has and it has not.
        why: the paper's question behind the step, and its answer at ViT-L with DINOv2 on COCO.
        masking: how it is trained by default.
        build: makes it from an encoder.
        frozen_encoder: whether the encoder gets no gradient.
        choices: what of ``ModelOptions`` can be chosen for it besides ``masking``.
    """

    name: str
    step: int
    title: str
    parts: tuple[str, ...]
    loses: str
    why: str
    masking: str
    build: Callable[..., SegmentationModel]
    frozen_encoder: bool = False
    choices: tuple[str, ...] = ()

    @property
    def has_query_blocks(self) -> bool:
        """Whether queries go through plain blocks, not through a Transformer decoder."""
        return "Transformer decoder" not in self.parts

    @property
    def inference_masking(self) -> str:
        """How it is run by default: ``masked`` or ``unmasked``."""
        return masking_after(self.masking)

    @property
    def has_deformable_attention(self) -> bool:
        """Whether there is a sampler to choose (``models.deformable_attention.set_sampler``)."""
        return "pixel decoder" in self.parts


def masking_after(training: str) -> str:
    """What inference does by default after a training ``masked``, ``annealed`` or ``unmasked``."""
    return "masked" if training == "masked" else "unmasked"


@dataclass(frozen=True)
class HeadSize:
    """What of the heads depends on the size of the encoder.

    Attributes:
        query_blocks: L2, blocks of the ViT that process queries (EoMT, Section 3.2).
        pmt_blocks: blocks of PMT's decoder.
        num_queries: default number of queries.
        adapter: dimensions of the ViT-Adapter.
        pixel_decoder: dimensions of the deformable pixel decoder.
        decoder: dimensions of the Transformer decoder.
    """

    query_blocks: int
    pmt_blocks: int = 6
    num_queries: int = 200
    adapter: AdapterConfig = AdapterConfig()
    pixel_decoder: PixelDecoderConfig = PixelDecoderConfig()
    decoder: DecoderConfig = DecoderConfig()


_SMALL_HEADS = {
    "adapter": AdapterConfig(stem_width=16, num_interactions=3, num_extra_extractors=1),
    "pixel_decoder": PixelDecoderConfig(dim=128, num_heads=4, num_layers=2, ffn_dim=256),
    "decoder": DecoderConfig(dim=128, num_heads=4, num_layers=3, ffn_dim=256),
}

HEAD_SIZES: dict[str, HeadSize] = {
    # Our own sizes shrink Mask2Former's parts along with the ViT; the paper keeps them for all.
    "nano": HeadSize(query_blocks=3, pmt_blocks=4, num_queries=20, **_SMALL_HEADS),
    "micro": HeadSize(query_blocks=3, pmt_blocks=4, num_queries=20, **_SMALL_HEADS),
    "small": HeadSize(query_blocks=3),
    "base": HeadSize(query_blocks=3),
    "large": HeadSize(query_blocks=4),
    "giant": HeadSize(query_blocks=5),
}


def _mask2former(
    *, adapter: bool, pixel_decoder: bool, multi_scale: bool
) -> Callable[..., SegmentationModel]:
    def build(
        encoder: Encoder, *, heads: HeadSize, num_classes: int, num_queries: int, masking: str
    ) -> Mask2Former:
        dim, patch_size = encoder.embed_dim, encoder.patch_size
        finest = pyramid_strides(patch_size)[0]
        strides = pyramid_strides(patch_size) if multi_scale else (finest, patch_size)
        num_scales = len(strides) - 1
        if adapter:
            features = ViTAdapter(
                dim,
                depth=encoder.depth,
                num_heads=encoder.num_heads,
                patch_size=patch_size,
                config=heads.adapter,
            )
        else:
            features = FeaturePyramid(dim, patch_size=patch_size, strides=strides)
        projection = PixelDecoder if pixel_decoder else FeatureProjection
        return Mask2Former(
            encoder=encoder,
            features=features,
            pixel_decoder=projection(dim, config=heads.pixel_decoder, num_scales=num_scales),
            decoder=MaskedAttentionDecoder(
                num_queries=num_queries,
                num_classes=num_classes,
                masking=masking,
                num_scales=num_scales,
                config=heads.decoder,
            ),
        )

    return build


def _eomt(
    encoder: Encoder,
    *,
    heads: HeadSize,
    num_classes: int,
    num_queries: int,
    masking: str,
    query_blocks: int | None = None,
) -> EoMT:
    return EoMT(
        encoder=encoder,
        num_queries=num_queries,
        num_classes=num_classes,
        query_blocks=heads.query_blocks if query_blocks is None else query_blocks,
        masking=masking,
    )


def _pmt(
    encoder: Encoder,
    *,
    heads: HeadSize,
    num_classes: int,
    num_queries: int,
    masking: str,
    query_blocks: int | None = None,
    **choices: Any,
) -> PMT:
    return PMT(
        encoder=encoder,
        num_queries=num_queries,
        num_classes=num_classes,
        query_blocks=heads.pmt_blocks if query_blocks is None else query_blocks,
        masking=masking,
        **choices,
    )


_RUNGS = (
    Rung(
        name="vit-adapter-m2f",
        step=0,
        title="ViT-Adapter + Mask2Former",
        parts=("ViT", "ViT-Adapter", "pixel decoder", "Transformer decoder", "masked attention"),
        loses="nothing: the baseline, with every component that was thought necessary",
        why="A convolutional adapter runs beside the ViT and gives it scales; a deformable pixel "
        "decoder mixes them; a decoder lets queries read them. 57.1 PQ at 29 FPS.",
        masking="masked",
        build=_mask2former(adapter=True, pixel_decoder=True, multi_scale=True),
    ),
    Rung(
        name="no-adapter",
        step=1,
        title="without ViT-Adapter",
        parts=(
            "ViT",
            "feature pyramid",
            "pixel decoder",
            "Transformer decoder",
            "masked attention",
        ),
        loses="the ViT-Adapter; scales are made from the ViT's single output",
        why="Does a strongly pretrained ViT need convolutions beside it? Hardly: −0.4 PQ.",
        masking="masked",
        build=_mask2former(adapter=False, pixel_decoder=True, multi_scale=True),
    ),
    Rung(
        name="no-pixel-decoder",
        step=2,
        title="without pixel decoder",
        parts=("ViT", "feature pyramid", "Transformer decoder", "masked attention"),
        loses="the pixel decoder; the pyramid goes straight to the Transformer decoder",
        why="Do scales have to be mixed by deformable attention? No: +0.2 PQ, and 1.7 times as "
        "fast.",
        masking="masked",
        build=_mask2former(adapter=False, pixel_decoder=False, multi_scale=True),
    ),
    Rung(
        name="single-scale",
        step=3,
        title="without multi-scale features",
        parts=("ViT", "Transformer decoder", "masked attention"),
        loses="the scales: queries attend to the ViT's own output alone",
        why="Do queries need to see several scales? −0.2 PQ.",
        masking="masked",
        build=_mask2former(adapter=False, pixel_decoder=False, multi_scale=False),
    ),
    Rung(
        name="eomt-masked",
        step=4,
        title="EoMT with masking",
        parts=("ViT", "masked attention"),
        loses="the Transformer decoder: queries join the ViT's last blocks",
        why="Can the ViT do the decoder's work? Yes: −0.5 PQ. But masks are still predicted before "
        "each block, which costs the speed that was gained.",
        masking="masked",
        build=_eomt,
        choices=("query_blocks",),
    ),
    Rung(
        name="eomt",
        step=5,
        title="EoMT",
        parts=("ViT",),
        loses="masked attention at inference: it is annealed away in training",
        why="Are masks needed once training is done? No: −0.2 PQ at twice the speed. 56.0 PQ at "
        "128 FPS, 4.4 times the baseline's.",
        masking="annealed",
        build=_eomt,
        choices=("query_blocks",),
    ),
    Rung(
        name="pmt",
        step=6,
        title="PMT",
        parts=("frozen ViT", "lateral connections", "Plain Mask Decoder"),
        loses="the fine-tuning of the encoder, which one frozen copy can then share among tasks",
        why="Must the ViT itself be trained? With DINOv3 a small plain decoder on a frozen encoder "
        "comes within a point of EoMT.",
        masking="annealed",
        build=_pmt,
        frozen_encoder=True,
        choices=("query_blocks", "frozen_encoder", "lateral_connections", "taps"),
    ),
)

LADDER: dict[str, Rung] = {rung.name: rung for rung in _RUNGS}
"""Name → rung, from the heaviest to the lightest, and on to the frozen encoder."""


def build_model(
    rung: str,
    *,
    size: str,
    pretraining: str,
    image_size: int | tuple[int, int],
    num_classes: int,
    num_queries: int | None = None,
    weights: str | Path | None = None,
    load_weights: bool = True,
    **options: Any,
) -> SegmentationModel:
    """Builds a rung of the ladder.

    Args:
        rung: a name of ``LADDER``.
        size: of the encoder, one of ``encoders.SIZES``.
        pretraining: one of ``encoders.PRETRAININGS``; for ``auto`` see
            ``encoder_weights.resolve_pretraining``.
        image_size: height and width, or one number for a square. Multiples of the model's
            ``size_divisor``.
        num_classes: without "no object".
        num_queries: the size's default when None.
        weights: a local file or folder of encoder weights; None for timm's hub.
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
    masking = choices.pop("masking", spec.masking)
    for name, value in choices.items():
        if name not in spec.choices:
            raise ConfigurationError(_no_such_choice(spec, name, value))
    height_width = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    encoder = build_encoder(size=size, pretraining=pretraining, image_size=height_width)
    if load_weights:
        load_pretrained(encoder, size=size, pretraining=pretraining, weights=weights)
    heads = HEAD_SIZES[size]
    num_queries = heads.num_queries if num_queries is None else num_queries
    for name, value in (("num_classes", num_classes), ("num_queries", num_queries)):
        if value < 1:
            raise ConfigurationError(f"{name}={value} must be at least 1.")
    return spec.build(
        encoder,
        heads=heads,
        num_classes=num_classes,
        num_queries=num_queries,
        masking=masking,
        **choices,
    )


@cache
def own_choices(rung: str, *, size: str, pretraining: str) -> ModelOptions:
    """The choices that make a rung what the papers build, all written out.

    Args:
        rung: of the ladder.
        size: of the encoder.
        pretraining: likewise.
    """
    spec, heads = LADDER[check_choice("rung", rung, LADDER)], HEAD_SIZES[size]
    own: dict[str, Any] = {"masking": spec.masking}
    if "query_blocks" in spec.choices:
        own["query_blocks"] = heads.pmt_blocks if spec.frozen_encoder else heads.query_blocks
    if "taps" in spec.choices:
        with torch.device("meta"):
            side = 4 * PATCH_SIZE
            encoder = build_encoder(size=size, pretraining=pretraining, image_size=(side, side))
        own |= {"frozen_encoder": True, "lateral_connections": True}
        own["taps"] = tap_blocks(encoder.depth)
    return ModelOptions(**own)


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
