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

from torch import Tensor

from eomtlib.core.predictions import Predictions
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
        features: runs the encoder and makes feature maps of it, finest first.
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

    def run(self, images: Tensor, way: Pass) -> Predictions:
        mask_features, scales = self.pixel_decoder(self.features(self.encoder, images))
        return self.decoder(mask_features, scales, way)


_COARSEST = "feature maps' coarsest stride"
