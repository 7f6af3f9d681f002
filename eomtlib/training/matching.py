"""Which query stands for which segment: Hungarian matching of all layers and images at once.

Mask2Former (Cheng et al., CVPR 2022, Section 3.2.3 and Appendix): the cost of giving a segment to a
query is a weighted sum of binary cross-entropy and Dice in sampled points, and of minus the
probability of the segment's class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from eomtlib.core.predictions import MaskLogits, Predictions, sharing_features
from eomtlib.core.structures import SegmentMap
from eomtlib.training.hyperparameters import LossConfig
from eomtlib.training.point_sampling import (
    sample_features,
    sample_segments,
)

# In place of a cost that is not finite: such a pair is chosen only where there is no other. Far
# above any true cost, and small enough not to swallow the digits of the others in a sum.
UNUSABLE_COST = 1e10

_AT_ONCE = 2**22
"""Logits of a temporary tensor: enough to fill a GPU, and still little memory."""


@dataclass(frozen=True)
class Matches:
    """Pairs of a query and a segment: N of them in each of the L layers.

    Pairs are ordered by image, then by query. Each image has the same number of them in every
    layer, the smaller of its numbers of queries and of segments that are targets.

    Attributes:
        images: ``[N]`` int64.
        queries: ``[L, N]`` int64.
        segments: ``[L, N]`` int64, indices into the labels of the pair's image.
        counts: pairs of each image; they sum to N.
        num_targets: segments that are targets, in all images together, matched or not.
    """

    images: Tensor
    queries: Tensor
    segments: Tensor
    counts: tuple[int, ...]
    num_targets: int

    @property
    def num_surplus(self) -> int:
        """Segments that no query was left for."""
        return self.num_targets - sum(self.counts)


@torch.no_grad()
def match(
    predictions: Predictions,
    targets: Sequence[SegmentMap],
    *,
    maps: Tensor,
    points: Tensor,
    config: LossConfig,
) -> Matches:
    """Gives each segment of each image a query of its own, in every layer.

    Crowd segments are no targets. Where an image has more segments than queries, the cheapest
    pairs are made and the rest goes unmatched. The costs of all layers and images go from the
    device to the host together, in the one transfer that the matching needs.

    Args:
        predictions: L layers of B images.
        targets: one for each image, on the device of the predictions.
        maps: the targets' maps, as ``stack_maps`` returns them.
        points: ``[B, P, 2]``, shared by the layers.
        config: weights of the cost.
    """
    device = predictions.class_logits[0].device
    sizes = [target.num_segments for target in targets]
    with torch.autocast(device.type, enabled=False):
        samples = _sample_all(maps, points, max(sizes))
        cost = _mask_cost(predictions.masks, samples, points, config)
        cost -= config.class_weight * _class_probabilities(predictions.class_logits, targets)
        cost = cost.nan_to_num_(nan=UNUSABLE_COST, posinf=UNUSABLE_COST, neginf=UNUSABLE_COST)
        crowds = _pad([target.is_crowd for target in targets])
        # The host learns from the same transfer which columns are no targets.
        cost = cost.masked_fill_(crowds[:, None], torch.nan).cpu().numpy()

    pairs = [
        [_assign(image_cost[:, :size]) for image_cost, size in zip(layer, sizes, strict=True)]
        for layer in cost
    ]
    counts = tuple(found.shape[1] for found in pairs[0])
    # [L, 2, N]: queries, then segments.
    found = torch.from_numpy(np.stack([np.concatenate(layer, axis=1) for layer in pairs]))
    found = found.to(device, non_blocking=True)
    images = torch.from_numpy(np.repeat(np.arange(len(sizes)), counts))
    return Matches(
        images=images.to(device, non_blocking=True),
        queries=found[:, 0],
        segments=found[:, 1],
        counts=counts,
        num_targets=sum(
            np.count_nonzero(~np.isnan(image_cost[0, :size]))
            for image_cost, size in zip(cost[0], sizes, strict=True)
        ),
    )


def _assign(cost: np.ndarray) -> np.ndarray:
    """The cheapest pairs ``[2, N]`` for costs ``[Q, S]``; a column of NaN is no target."""
    (columns,) = np.nonzero(~np.isnan(cost[0]))
    queries, chosen = linear_sum_assignment(cost[:, columns])
    return np.stack((queries, columns[chosen]))


def _sample_all(maps: Tensor, points: Tensor, num_segments: int) -> Tensor:
    """Every segment of each image in that image's points, ``[B, S, P]``."""
    rows = torch.arange(len(maps) * num_segments, device=maps.device)
    samples = sample_segments(
        maps,
        points.repeat_interleave(num_segments, 0),
        images=rows // num_segments,
        segments=rows % num_segments,
    )
    return samples.view(len(maps), num_segments, points.shape[1])


def _mask_cost(
    masks: Sequence[MaskLogits], samples: Tensor, points: Tensor, config: LossConfig
) -> Tensor:
    """Weighted cross-entropy and Dice of every query with every segment, ``[L, B, Q, S]``.

    Args:
        masks: of L layers.
        samples: ``[B, S, P]``, the segments in the points.
        points: ``[B, P, 2]``.
        config: the weights.
    """
    costs: list[list[Tensor]] = [[] for _ in masks]
    images_at_once = max(1, _AT_ONCE // (masks[0].shape[1] * points.shape[1]))
    for image in range(0, len(points), images_at_once):
        own = slice(image, image + images_at_once)
        # The layers share their points, so those of one map share its samples.
        for group in sharing_features(masks):
            sampled = sample_features(masks[group[0]].features[own].float(), points[own])
            for layer in group:
                logits = masks[layer].of_samples(sampled, own).float()
                costs[layer].append(_pair_costs(logits, samples[own], config))
    return torch.stack([torch.cat(of_layer) for of_layer in costs])


def _pair_costs(logits: Tensor, segments: Tensor, config: LossConfig) -> Tensor:
    """``[B, P, Q]`` logits and ``[B, S, P]`` shares of segments in the points → ``[B, Q, S]``."""
    # Cross-entropy is softplus(x) − x·y: linear in y, so one product serves all pairs.
    entropy = (F.softplus(logits).sum(1)[:, None] - segments @ logits) / logits.shape[1]
    probabilities = logits.sigmoid()
    total = probabilities.sum(1)[:, None] + segments.sum(-1)[..., None]
    dice = 1 - (2 * (segments @ probabilities) + 1) / (total + 1)
    return (config.mask_weight * entropy + config.dice_weight * dice).transpose(1, 2)


def _class_probabilities(class_logits: Sequence[Tensor], targets: Sequence[SegmentMap]) -> Tensor:
    """Each query's probability of each segment's class, ``[L, B, Q, S]``."""
    probabilities = torch.stack([logits.float() for logits in class_logits]).softmax(-1)
    labels = _pad([target.labels for target in targets])
    index = labels[None, :, None].expand(*probabilities.shape[:3], -1)
    return probabilities.gather(-1, index)


def _pad(rows: Sequence[Tensor]) -> Tensor:
    """Stacks tensors ``[S_i]`` to ``[B, max S_i]``, filled with zeros."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
