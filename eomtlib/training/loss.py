"""The loss of mask classification, on all predicted layers at once.

Mask2Former (Cheng et al., CVPR 2022, Section 3.2.3), as EoMT and PMT use it: cross-entropy of the
classes of all queries, binary cross-entropy and Dice of the masks of the matched ones in sampled
points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from eomtlib.errors import DataError
from eomtlib.hyperparameters import LossConfig
from eomtlib.predictions import Predictions, matched_masks
from eomtlib.structures import SegmentMap
from eomtlib.training.matching import Matches, match
from eomtlib.training.point_sampling import (
    chunk_size,
    most_uncertain,
    num_candidates,
    num_uncertain,
    sample_mask_logits,
    sample_segments,
    stack_maps,
)


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


class SegmentationLoss(nn.Module):
    """Matches queries to segments and supervises the pairs, in every predicted layer.

    Each image has a generator, from which all its random points come, in a fixed order: the points
    of the matching ``[P, 2]``, which the layers share; then, where it has pairs, the candidates
    ``[L, pairs, C, 2]`` from which the uncertain points are chosen; then the uniform points
    ``[L, pairs, P − uncertain, 2]``. So an image's points depend on nothing else in the batch.

    Masks are averaged over the targets of the whole batch, on all processes; classes over the
    queries of this process, weighted.

    Args:
        num_classes: without "no object".
        config: weights and numbers of points.
    """

    class_weights: Tensor

    def __init__(self, num_classes: int, config: LossConfig | None = None) -> None:
        super().__init__()
        self.config = config or LossConfig()
        self.num_classes = num_classes
        weights = torch.ones(num_classes + 1)
        weights[-1] = self.config.no_object_weight
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(
        self,
        predictions: Predictions,
        targets: Sequence[SegmentMap],
        *,
        generators: Sequence[torch.Generator],
    ) -> LossOutput:
        """The loss of one batch, computed in float32 whatever autocast says.

        Args:
            predictions: L layers of B images, of any floating type.
            targets: one for each image, all of one size, on the device of the predictions. Each
                segment is a target, except crowds; a loader drops those that a crop cut away.
            generators: one for each image, on any device.

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
            class_loss = self._class_loss(predictions.class_logits, targets, matches)
            mask_loss, dice_loss = self._mask_losses(predictions, maps, matches, generators)
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

    def _class_loss(
        self, class_logits: Sequence[Tensor], targets: Sequence[SegmentMap], matches: Matches
    ) -> Tensor:
        """Weighted mean over all queries, ``[L]``."""
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
        weights = self.class_weights[wanted].flatten(1).sum(1)
        return losses.unflatten(0, (len(class_logits), -1)).sum(1) / weights

    def _mask_losses(
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

        num_masks = _mean_over_processes(matches.num_targets, logits.device).clamp(min=1)
        entropy = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1)
        probabilities = logits.sigmoid()
        overlap = (probabilities * labels).sum(1)
        dice = 1 - (2 * overlap + 1) / (probabilities.sum(1) + labels.sum(1) + 1)
        shape = matches.queries.shape
        return entropy.view(shape).sum(1) / num_masks, dice.view(shape).sum(1) / num_masks

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
        drawn = num_candidates(config.num_points, config.oversample_ratio)
        kept = num_uncertain(config.num_points, config.importance_sample_ratio)
        masks = masks.unflatten(0, (num_layers, sum(counts)))
        points = masks.new_empty(*masks.shape[:2], config.num_points, 2)
        images_at_once = max(1, chunk_size(masks.device) // (num_layers * max(1, *counts) * drawn))
        start = 0
        for first in range(0, len(counts), images_at_once):
            group = range(first, min(first + images_at_once, len(counts)))
            candidates, uniform = [], []
            for image in group:
                shape = (num_layers, counts[image])
                candidates.append(_draw(generators[image], (*shape, drawn), masks.device))
                rest = (*shape, config.num_points - kept)
                uniform.append(_draw(generators[image], rest, masks.device))
            part = slice(start, start + sum(counts[image] for image in group))
            chosen = most_uncertain(
                masks[:, part].flatten(0, 1), torch.cat(candidates, dim=1).flatten(0, 1), kept
            )
            points[:, part, :kept] = chosen.unflatten(0, (num_layers, -1))
            points[:, part, kept:] = torch.cat(uniform, dim=1)
            start = part.stop
        return points.flatten(0, 1)


def _draw(generator: torch.Generator, shape: Sequence[int], device: torch.device) -> Tensor:
    """Uniform points ``[*shape, 2]``, drawn where the generator lives."""
    points = torch.rand(*shape, 2, generator=generator, device=generator.device)
    return points.to(device, non_blocking=True)


def _mean_over_processes(number: int, device: torch.device) -> Tensor:
    """The mean of a number over all processes, as a float tensor on ``device``."""
    mean = torch.tensor(float(number)).to(device, non_blocking=True)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(mean)
        mean /= dist.get_world_size()
    return mean
