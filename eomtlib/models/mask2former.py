"""Mask2Former on a plain ViT: the first four rungs of the ladder, by what is put into it.

Cheng et al., *Masked-attention Mask Transformer for Universal Image Segmentation*, CVPR 2022; on a
ViT and step by step without its parts: EoMT, Kerssies et al., CVPR 2025, Section 3.1, Table 1.

| rung | features | pixel decoder | decoder |
| --- | --- | --- | --- |
| ``vit-adapter-m2f`` | ``ViTAdapter`` | ``PixelDecoder`` | three scales |
| ``no-adapter`` | ``FeaturePyramid`` | ``PixelDecoder`` | three scales |
| ``no-pixel-decoder`` | ``FeaturePyramid`` | ``FeatureProjection`` | three scales |
| ``single-scale`` | ``FeaturePyramid``, two strides | ``FeatureProjection`` | one scale |
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from eomtlib.core.predictions import Predictions
from eomtlib.core.structures import Tokens
from eomtlib.models.encoders import Encoder, check_multiple
from eomtlib.models.parts.feature_pyramid import FeaturePyramid
from eomtlib.models.parts.masked_attention import Masking, Pass
from eomtlib.models.parts.pixel_decoder import FeatureProjection, PixelDecoder
from eomtlib.models.parts.segmentation_model import SegmentationModel
from eomtlib.models.parts.transformer_decoder import MaskedAttentionDecoder
from eomtlib.models.parts.vit_adapter import ViTAdapter


class Mask2Former(SegmentationModel):
    """A ViT, its feature maps, a pixel decoder (or a projection) and a Transformer decoder.

    Args:
        encoder: the ViT.
        features: makes feature maps of the encoder's tokens, finest first; an adapter runs it, too.
        pixel_decoder: turns these into mask features and the scales that queries attend to.
        decoder: holds the queries and predicts.

    Raises:
        ConfigurationError: when the encoder's image size is no multiple of the coarsest stride.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        features: ViTAdapter | FeaturePyramid,
        pixel_decoder: PixelDecoder | FeatureProjection,
        decoder: MaskedAttentionDecoder,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.features = features
        self.pixel_decoder = pixel_decoder
        self.decoder = decoder
        self.num_queries = decoder.num_queries
        self.size_divisor = max(*features.strides, encoder.patch_size)
        check_multiple(encoder.image_size, self.size_divisor, why=_COARSEST)

    @property
    def masking(self) -> Masking:
        """Whether the decoder's layers are masked, and how often."""
        return self.decoder.masking

    def set_image_size(self, image_size: tuple[int, int]) -> None:
        check_multiple(image_size, self.size_divisor, why=_COARSEST)
        self.encoder.set_image_size(image_size)

    @property
    def reads(self) -> tuple[int, ...] | None:
        """The ViT's last block, unless an adapter writes into the ViT."""
        return None if isinstance(self.features, ViTAdapter) else (self.encoder.depth - 1,)

    def run(self, images: Tensor, way: Pass) -> Predictions:
        if self.reads is not None:
            return super().run(images, way)
        return self._decode(self.features(self.encoder, images), way)

    def run_from(self, embedded: Tokens, outputs: Sequence[Tokens], way: Pass) -> Predictions:
        (last,) = outputs
        return self._decode(self.features(last.with_x(self.encoder.norm(last.x))), way)

    def _decode(self, maps: tuple[Tensor, ...], way: Pass) -> Predictions:
        mask_features, scales = self.pixel_decoder(maps)
        return self.decoder(mask_features, scales, way)


_COARSEST = "feature maps' coarsest stride"
