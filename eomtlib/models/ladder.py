"""The ladder: seven models as data, each one component lighter than the one before.

This is the page to read first. A rung says which parts it is made of, what it loses against the
step before it, and what the paper finds that this costs. ``models.build.build_model`` puts the
parts together; each part is one file of ``models/parts``.

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

from dataclasses import dataclass

from eomtlib.core.words import RUNGS
from eomtlib.models.parts.pixel_decoder import PixelDecoderConfig
from eomtlib.models.parts.transformer_decoder import DecoderConfig
from eomtlib.models.parts.vit_adapter import AdapterConfig


@dataclass(frozen=True)
class Rung:
    """One model of the study.

    Attributes:
        name: as used in parameters, records and plots.
        title: how the papers call it.
        parts: what it is made of; ``build_model`` goes by it.
        loses: what the step before it has and it has not.
        why: the paper's question behind the step, and its answer at ViT-L with DINOv2 on COCO.
        masking: how it is trained by default.
        freeze: what of the encoder learns nothing by default (``ModelOptions.freeze``).
        choices: what of ``ModelOptions`` can be chosen for it besides ``masking`` and ``freeze``.
    """

    name: str
    title: str
    parts: tuple[str, ...]
    loses: str
    why: str
    masking: str = "masked"
    freeze: str = "none"
    choices: tuple[str, ...] = ()

    @property
    def step(self) -> int:
        """Its place on the ladder, from 0."""
        return RUNGS.index(self.name)

    @property
    def has_query_blocks(self) -> bool:
        """Whether queries go through plain blocks, not through a Transformer decoder."""
        return "Transformer decoder" not in self.parts

    @property
    def has_own_blocks(self) -> bool:
        """Whether the blocks that queries go through are a decoder's, not the ViT's."""
        return "Plain Mask Decoder" in self.parts

    @property
    def inference_masking(self) -> str:
        """How it is run by default: ``masked`` or ``unmasked``."""
        return masking_after(self.masking)

    @property
    def has_deformable_attention(self) -> bool:
        """Whether there is a sampler to choose (``set_sampler``)."""
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

_DECODERS = ("pixel decoder", "Transformer decoder", "masked attention")

_RUNGS = (
    Rung(
        name="vit-adapter-m2f",
        title="ViT-Adapter + Mask2Former",
        parts=("ViT", "ViT-Adapter", *_DECODERS),
        loses="nothing: the baseline, with every component that was thought necessary",
        why="A convolutional adapter runs beside the ViT and gives it scales; a deformable pixel "
        "decoder mixes them; a decoder lets queries read them. 57.1 PQ at 29 FPS.",
    ),
    Rung(
        name="no-adapter",
        title="without ViT-Adapter",
        parts=("ViT", "feature pyramid", *_DECODERS),
        loses="the ViT-Adapter; scales are made from the ViT's single output",
        why="Does a strongly pretrained ViT need convolutions beside it? Hardly: −0.4 PQ.",
    ),
    Rung(
        name="no-pixel-decoder",
        title="without pixel decoder",
        parts=("ViT", "feature pyramid", "Transformer decoder", "masked attention"),
        loses="the pixel decoder; the pyramid goes straight to the Transformer decoder",
        why="Do scales have to be mixed by deformable attention? No: +0.2 PQ, and 1.7 times as "
        "fast.",
    ),
    Rung(
        name="single-scale",
        title="without multi-scale features",
        parts=("ViT", "Transformer decoder", "masked attention"),
        loses="the scales: queries attend to the ViT's own output alone",
        why="Do queries need to see several scales? −0.2 PQ.",
    ),
    Rung(
        name="eomt-masked",
        title="EoMT with masking",
        parts=("ViT", "masked attention"),
        loses="the Transformer decoder: queries join the ViT's last blocks",
        why="Can the ViT do the decoder's work? Yes: −0.5 PQ. But masks are still predicted before "
        "each block, which costs the speed that was gained.",
        choices=("query_blocks",),
    ),
    Rung(
        name="eomt",
        title="EoMT",
        parts=("ViT",),
        loses="masked attention at inference: it is annealed away in training",
        why="Are masks needed once training is done? No: −0.2 PQ at twice the speed. 56.0 PQ at "
        "128 FPS, 4.4 times the baseline's.",
        masking="annealed",
        choices=("query_blocks",),
    ),
    Rung(
        name="pmt",
        title="PMT",
        parts=("frozen ViT", "lateral connections", "Plain Mask Decoder"),
        loses="the fine-tuning of the encoder, which one frozen copy can then share among tasks",
        why="Must the ViT itself be trained? With DINOv3 a small plain decoder on a frozen encoder "
        "comes within a point of EoMT.",
        masking="annealed",
        freeze="encoder",
        choices=("query_blocks", "lateral_connections", "taps"),
    ),
)
LADDER: dict[str, Rung] = {rung.name: rung for rung in _RUNGS}
"""Name → rung, from the heaviest to the lightest, and on to the frozen encoder."""
