"""Predictions of any task as one map of segments, for pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from eomtlib.structures import VOID

Painted = tuple[Tensor, list[int]]
"""Segment ids ``[H, W]``, −1 where nothing is, and the class of each id."""

_SHOWN_FROM = 0.5


def paint_panoptic(prediction: Mapping[str, Any]) -> Painted:
    """A panoptic segmentation as it is."""
    return prediction["segmentation"], [i["label_id"] for i in prediction["segments_info"]]


def paint_instances(prediction: Mapping[str, Any]) -> Painted:
    """Instances that score at least 0.5, the surest in front."""
    masks, infos = prediction["segmentation"], prediction["segments_info"]
    shown = [index for index, info in enumerate(infos) if info["score"] >= _SHOWN_FROM]
    shown.sort(key=lambda index: infos[index]["score"])
    ids = torch.full(masks.shape[1:], VOID, dtype=torch.int32, device=masks.device)
    for segment_id, index in enumerate(shown):
        ids[masks[index]] = segment_id
    return ids, [infos[index]["label_id"] for index in shown]


def paint_semantic(prediction: Tensor) -> Painted:
    """A segment for each class that occurs."""
    labels, ids = prediction.unique(return_inverse=True)
    return ids, labels.tolist()
