"""What models predict: classes, and masks that stay factors until somebody needs their pixels.

A mask is the dot product of a query's embedding with the features of every pixel (Mask2Former,
Cheng et al., CVPR 2022, Section 3.1). Sampling and bilinear resizing are linear in the features, so
they go before the product: few callers need all queries in all pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class MaskLogits:
    """Mask logits of all queries of a batch, ``[B, Q, h, w]``, positive where a query claims.

    Attributes:
        features: ``[B, C, h, w]``, what each pixel shows; without embeddings the logits themselves,
            ``[B, Q, h, w]``.
        embeddings: ``[B, Q, C]``, what each query looks for.
    """

    features: Tensor
    embeddings: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(B, Q, h, w)``."""
        batch, channels, height, width = self.features.shape
        queries = channels if self.embeddings is None else self.embeddings.shape[1]
        return batch, queries, height, width

    def dense(self) -> Tensor:
        """All of it, ``[B, Q, h, w]``; channels-last in memory where it is made here."""
        if self.embeddings is None:
            return self.features
        height, width = self.features.shape[-2:]
        pixels = self.features.permute(0, 2, 3, 1).flatten(1, 2)
        return self.of_samples(pixels).unflatten(1, (height, width)).permute(0, 3, 1, 2)

    def of_samples(self, samples: Tensor, images: slice | None = None) -> Tensor:
        """The logits in places whose features were gathered before.

        Args:
            samples: ``[N, P, C]``, weighted sums of ``features`` in P places.
            images: the N images of the batch that they are from; all by default.

        Returns:
            ``[N, P, Q]``.
        """
        if self.embeddings is None:
            return samples
        embeddings = self.embeddings if images is None else self.embeddings[images]
        samples = samples.to(embeddings.dtype)
        if len(samples) == 1:
            # A product of two matrices is a third faster on CPUs than a batch of one.
            return F.linear(samples[0], embeddings[0])[None]
        return samples @ embeddings.transpose(1, 2)

    def resized(self, size: tuple[int, int]) -> Tensor:
        """Bilinearly resized, ``[B, Q, rows * columns]``; the features are resized, then read."""
        resized = F.interpolate(self.features, size=size, mode="bilinear", align_corners=False)
        return self.of_samples(resized.flatten(2).transpose(1, 2)).transpose(1, 2)

    def of_queries(self, image: int, queries: Sequence[int]) -> Tensor:
        """The masks of some queries of one image, ``[len(queries), h, w]`` float32."""
        if self.embeddings is None:
            return self.features[image, queries].float()
        chosen = self.embeddings[image, queries]
        pixels = self.features[image].to(chosen.dtype).flatten(1)
        return (chosen @ pixels).unflatten(1, self.features.shape[2:]).float()

    def of_images(self, images: slice) -> MaskLogits:
        """The masks of all queries of some images."""
        embeddings = None if self.embeddings is None else self.embeddings[images]
        return MaskLogits(self.features[images], embeddings)

    def detach(self) -> MaskLogits:
        """The same without gradients."""
        embeddings = None if self.embeddings is None else self.embeddings.detach()
        return MaskLogits(self.features.detach(), embeddings)


def sharing_features(layers: Sequence[MaskLogits]) -> list[list[int]]:
    """The layers' indices in order, those together that read the same features.

    All layers of a Mask2Former decoder do, and those of an EoMT do not.
    """
    by_features = groupby(range(len(layers)), key=lambda layer: id(layers[layer].features))
    return [list(group) for _, group in by_features]


def matched_masks(
    layers: Sequence[MaskLogits], *, images: Tensor, queries: Tensor, counts: Sequence[int]
) -> Tensor:
    """The masks of the same number of queries in every layer.

    Args:
        layers: L of them.
        images: ``[N]`` int64, the batch's images in order.
        queries: ``[L, N]`` int64.
        counts: how many of the N belong to each image of the batch.

    Returns:
        ``[L * N, h, w]`` float32, ordered by layer, then as given.
    """
    rows = []
    for group in sharing_features(layers):
        features = layers[group[0]].features
        if layers[group[0]].embeddings is None:
            rows.extend(features[images, queries[layer]].float() for layer in group)
            continue
        chosen = torch.stack([layers[layer].embeddings[images, queries[layer]] for layer in group])
        # A matrix product for each image, as the numbers of their rows differ.
        pixels = features.to(chosen.dtype).permute(0, 2, 3, 1).flatten(1, 2).unbind()
        masks = [
            (table @ own.flatten(0, 1).T).T.unflatten(0, own.shape[:2])
            for table, own in zip(pixels, chosen.split(tuple(counts), 1), strict=True)
        ]
        rows.append(torch.cat(masks, 1).unflatten(2, features.shape[2:]).flatten(0, 1).float())
    return torch.cat(rows)


@dataclass(frozen=True)
class Predictions:
    """Masks and classes of a set of queries, one entry for each predicted layer, final one last.

    Attributes:
        masks: each of ``[B, Q, h, w]``.
        class_logits: each ``[B, Q, classes + 1]``; the last class is "no object".
    """

    masks: tuple[MaskLogits, ...]
    class_logits: tuple[Tensor, ...]

    @classmethod
    def from_dense(
        cls, mask_logits: Sequence[Tensor], class_logits: Sequence[Tensor]
    ) -> Predictions:
        """Predictions of a model that makes all its mask logits ``[B, Q, h, w]`` itself."""
        return cls(tuple(MaskLogits(layer) for layer in mask_logits), tuple(class_logits))

    @property
    def mask_logits(self) -> tuple[Tensor, ...]:
        """Each layer's mask logits in every pixel, ``[B, Q, h, w]``; made when asked for."""
        return tuple(layer.dense() for layer in self.masks)

    @property
    def final(self) -> tuple[Tensor, Tensor]:
        """The final layer's mask logits in every pixel, and its class logits."""
        return self.masks[-1].dense(), self.class_logits[-1]

    def __len__(self) -> int:
        return len(self.masks)
