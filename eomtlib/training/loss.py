"""The loss of mask classification, on all predicted layers at once.

Mask2Former (Cheng et al., CVPR 2022, Section 3.2.3), as EoMT and PMT use it: cross-entropy of the
classes of all queries, binary cross-entropy and Dice of the masks of the matched ones in sampled
points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.core.machine import distributed
from eomtlib.core.predictions import Predictions, matched_masks
from eomtlib.core.structures import SegmentMap
from eomtlib.training.hyperparameters import LossConfig
from eomtlib.training.matching import Matches, match
from eomtlib.training.point_sampling import (
    sample_mask_logits,
    sample_segments,
    stack_maps,
)


@dataclass(frozen=True)
class LossNormalizer:
    """What a step's sums are divided by, the same however its images are split.

    Means over processes, since gradients are averaged over them.

    Attributes:
        num_masks: scalar, targets of all images of the step, at least 1.
        class_weight: scalar, weights of the classes of all their queries.
    """

    num_masks: Tensor
    class_weight: Tensor


@dataclass(frozen=True)
class LossOutput:
    """What the loss says of one batch.

    Attributes:
        total: scalar, the weighted sum of all components of all layers; the one to differentiate.
        class_loss: ``[L]``, cross-entropy of each layer, not weighted, detached.
        mask_loss: ``[L]``, binary cross-entropy of the masks, likewise.
        dice_loss: ``[L]``, Dice loss of the masks, likewise.
        num_surplus: segments of this batch that no query was left for.
    """

    total: Tensor
    class_loss: Tensor
    mask_loss: Tensor
    dice_loss: Tensor
    num_surplus: int


def sum_of_parts(parts: Sequence[LossOutput]) -> LossOutput:
    """What the loss says of a step that was computed in parts under one ``LossNormalizer``."""
    return LossOutput(
        total=sum(part.total.detach() for part in parts),
        class_loss=sum(part.class_loss for part in parts),
        mask_loss=sum(part.mask_loss for part in parts),
        dice_loss=sum(part.dice_loss for part in parts),
        num_surplus=sum(part.num_surplus for part in parts),
    )


class SegmentationLoss(nn.Module):
    """Matches queries to segments and supervises the pairs, in every predicted layer.

    Each image has a generator, from which all its random points come, in a fixed order: the points
    of the matching ``[P, 2]``, which the layers share; then, where it has pairs, the candidates
    ``[L, pairs, C, 2]`` from which the uncertain points are chosen; then the uniform points
    ``[L, pairs, P − uncertain, 2]``. So an image's points depend on nothing else in the batch.

    Masks are averaged over the targets and classes over the queries, weighted, of the whole step:
    of all processes, and of all parts where a step is computed in parts.

    Args:
        num_classes: without "no object".
        config: weights and numbers of points; its ``class_weights`` are numbers by now.

    Raises:
        ConfigurationError: where these are not as many as the classes.
    """

    class_weights: Tensor

    def __init__(self, num_classes: int, config: LossConfig | None = None) -> None:
        super().__init__()
        self.config = config or LossConfig()
        self.num_classes = num_classes
        given = self.config.class_weights or (1.0,) * num_classes
        if len(given) != num_classes:
            raise ConfigurationError(
                f"class_weights holds {len(given)} numbers, and there are {num_classes} classes; "
                "give one for each, in their order."
            )
        weights = torch.tensor((*given, self.config.no_object_weight))
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(
        self,
        predictions: Predictions,
        targets: Sequence[SegmentMap],
        *,
        generators: Sequence[torch.Generator],
        normalizer: LossNormalizer | None = None,
    ) -> LossOutput:
        """The loss of one batch, computed in float32 whatever autocast says.

        Args:
            predictions: L layers of B images, of any floating type.
            targets: one for each image, all of one size, on the device of the predictions. Each
                segment is a target, except crowds; a loader drops those that a crop cut away.
            generators: one for each image, on any device.
            normalizer: of the whole step, where these images are a part of it; then the step's
                loss is the sum of its parts'.

        Raises:
            DataError: when the numbers of images, targets and generators differ, or the targets'
                sizes do.
        """
        batch = predictions.class_logits[0].shape[0]
        if not batch == len(targets) == len(generators):
            raise DataError(
                f"The loss got predictions for {batch} images, {len(targets)} targets and "
                f"{len(generators)} generators; it needs one of each for every image."
            )
        device = predictions.class_logits[0].device
        with torch.autocast(device.type, enabled=False):
            maps = stack_maps(targets)
            points = torch.stack([_draw(g, (self.config.num_points,), device) for g in generators])
            matches = match(predictions, targets, maps=maps, points=points, config=self.config)
            num_queries = predictions.class_logits[0].shape[1]
            normalizer = normalizer or self.normalizer(targets, num_queries)
            class_sum = self._class_sum(predictions.class_logits, targets, matches)
            class_loss = class_sum / normalizer.class_weight
            mask_loss, dice_loss = (
                part / normalizer.num_masks
                for part in self._mask_sums(predictions, maps, matches, generators)
            )
            layers = (
                self.config.class_weight * class_loss
                + self.config.mask_weight * mask_loss
                + self.config.dice_weight * dice_loss
            )
        return LossOutput(
            total=layers.sum(),
            class_loss=class_loss.detach(),
            mask_loss=mask_loss.detach(),
            dice_loss=dice_loss.detach(),
            num_surplus=matches.num_surplus,
        )

    def normalizer(self, targets: Sequence[SegmentMap], num_queries: int) -> LossNormalizer:
        """What to divide by in a step that has these targets here, and others elsewhere.

        Every process must call it equally often. Nothing is moved from a GPU.
        """
        counts = torch.stack([(~target.is_crowd).sum() for target in targets]).float()
        matched = counts.clamp(max=num_queries)
        # Of more segments than queries it is not known yet which are matched: their mean weight.
        own = self.class_weights.to(counts.device)
        summed = torch.stack([(own[t.labels] * ~t.is_crowd).sum() for t in targets])
        weights = summed * (matched / counts.clamp(min=1))
        weights = weights + (num_queries - matched) * self.config.no_object_weight
        num_masks, class_weight = distributed.mean(torch.stack((counts.sum(), weights.sum())))
        return LossNormalizer(num_masks.clamp(min=1), class_weight)

    def _class_sum(
        self, class_logits: Sequence[Tensor], targets: Sequence[SegmentMap], matches: Matches
    ) -> Tensor:
        """Weighted sum over all queries, ``[L]``."""
        logits = torch.stack([layer.float() for layer in class_logits])
        labels = nn.utils.rnn.pad_sequence([t.labels for t in targets], batch_first=True)
        wanted = labels.new_full(logits.shape[:-1], self.num_classes)
        layer_index = torch.arange(len(class_logits), device=logits.device)[:, None]
        wanted[layer_index, matches.images, matches.queries] = labels[
            matches.images, matches.segments
        ]
        losses = F.cross_entropy(
            logits.flatten(0, 2), wanted.flatten(), self.class_weights, reduction="none"
        )
        return losses.unflatten(0, (len(class_logits), -1)).sum(1)

    def _mask_sums(
        self,
        predictions: Predictions,
        maps: Tensor,
        matches: Matches,
        generators: Sequence[torch.Generator],
    ) -> tuple[Tensor, Tensor]:
        """Binary cross-entropy and Dice of the matched masks, each ``[L]``."""
        num_layers = len(predictions)
        # From here on one row is one pair, ordered by layer, image and query.
        masks = matched_masks(
            predictions.masks,
            images=matches.images,
            queries=matches.queries,
            counts=matches.counts,
        )
        images = matches.images.repeat(num_layers)
        points = self._points(masks.detach(), num_layers, matches.counts, generators)
        labels = sample_segments(maps, points, images=images, segments=matches.segments.flatten())
        logits = sample_mask_logits(masks, points)

        entropy = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1)
        probabilities = logits.sigmoid()
        overlap = (probabilities * labels).sum(1)
        dice = 1 - (2 * overlap + 1) / (probabilities.sum(1) + labels.sum(1) + 1)
        shape = matches.queries.shape
        return entropy.view(shape).sum(1), dice.view(shape).sum(1)

    @torch.no_grad()
    def _points(
        self,
        masks: Tensor,
        num_layers: int,
        counts: Sequence[int],
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """The points ``[rows, P, 2]`` of each matched mask: uncertain ones, then uniform ones."""
        config = self.config
        num_candidates = int(config.num_points * config.oversample_ratio)
        num_uncertain = int(config.num_points * config.importance_sample_ratio)
        rows = masks.unflatten(0, (num_layers, sum(counts))).split(counts, dim=1)
        points = []
        for own, generator in zip(rows, generators, strict=True):
            candidates = _draw(generator, (*own.shape[:2], num_candidates), masks.device)
            uniform = (*own.shape[:2], config.num_points - num_uncertain)
            # PointRend: a mask is least sure where its logit is smallest.
            certainty = sample_mask_logits(own.flatten(0, 1), candidates.flatten(0, 1)).abs()
            chosen = certainty.topk(num_uncertain, dim=1, largest=False, sorted=False).indices
            chosen = chosen.unflatten(0, own.shape[:2])[..., None].expand(-1, -1, -1, 2)
            uncertain = candidates.gather(2, chosen)
            points.append(torch.cat((uncertain, _draw(generator, uniform, masks.device)), dim=2))
        return torch.cat(points, dim=1).flatten(0, 1)


def _draw(generator: torch.Generator, shape: Sequence[int], device: torch.device) -> Tensor:
    """Uniform points ``[*shape, 2]``, drawn where the generator lives."""
    points = torch.rand(*shape, 2, generator=generator, device=generator.device)
    return points.to(device, non_blocking=True)
