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
    bilinear_neighbours,
    chunk_size,
    in_pixel_order,
    sample_all_segments,
    sample_features,
)

# In place of a cost that is not finite: such a pair is chosen only where there is no other. Far
# above any true cost, and small enough not to swallow the digits of the others in a sum.
UNUSABLE_COST = 1e10


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
        # Their order is no matter: what is asked for are sums over them.
        points = in_pixel_order(points, predictions.masks[0].shape[2:])
        samples = sample_all_segments(maps, points, max(sizes))
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
    batch, num_queries, *size = masks[0].shape
    num_points = points.shape[1]
    points_at_once = max(1, min(num_points, chunk_size(points.device) // num_queries))
    images_at_once = max(1, chunk_size(points.device) // (num_queries * points_at_once))
    rows: list[list[Tensor]] = [[] for _ in masks]
    for image in range(0, batch, images_at_once):
        part = slice(image, image + images_at_once)
        places = [
            slice(point, point + points_at_once) for point in range(0, num_points, points_at_once)
        ]
        # The layers share their points, and so the pixels around them.
        neighbours = [bilinear_neighbours(points[part, here], size) for here in places]
        for group in sharing_features(masks):
            features = masks[group[0]].features[part].float()
            features = features.contiguous(memory_format=torch.channels_last)
            sums = [_PointSums() for _ in group]
            for here, around in zip(places, neighbours, strict=True):
                sampled = sample_features(features, around)
                for layer, layer_sums in zip(group, sums, strict=True):
                    logits = masks[layer].of_samples(sampled, part).float()
                    layer_sums.add(logits, samples[part, :, here])
            for layer, layer_sums in zip(group, sums, strict=True):
                rows[layer].append(layer_sums.cost(num_points, config))
    return torch.stack([torch.cat(costs) for costs in rows])


class _PointSums:
    """What the cost of every pair needs of the points, added up over parts of them.

    Sums over points: ``entropy`` and ``probability`` ``[B, Q]``, of softplus and sigmoid of each
    query's logits; ``area`` ``[B, S]``, of each segment's share; ``product`` and ``overlap``
    ``[B, S, Q]``, of the shares times the logits and times their sigmoid.
    """

    def __init__(self) -> None:
        self.entropy = self.probability = self.area = self.product = self.overlap = 0

    def add(self, logits: Tensor, segments: Tensor) -> None:
        """``[B, P, Q]`` logits and ``[B, S, P]`` shares of some points."""
        # Cross-entropy is softplus(x) − x·y: linear in y, so one product serves all pairs.
        self.entropy += F.softplus(logits).sum(1)
        self.product += segments @ logits
        probabilities = logits.sigmoid()
        self.probability += probabilities.sum(1)
        self.overlap += segments @ probabilities
        self.area += segments.sum(-1)

    def cost(self, num_points: int, config: LossConfig) -> Tensor:
        """``[B, Q, S]``."""
        entropy = (self.entropy[:, None] - self.product) / num_points
        total = self.probability[:, None] + self.area[..., None]
        dice = 1 - (2 * self.overlap + 1) / (total + 1)
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
