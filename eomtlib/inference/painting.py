"""Segmentations of any task as one map of segments, for pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from eomtlib.core.structures import VOID


@dataclass(frozen=True)
class Painted:
    """One map of segments.

    Attributes:
        ids: ``[H, W]`` integers, −1 where nothing is.
        labels: the class of each id.
        scores: of each id; None where the task has none.
    """

    ids: Tensor
    labels: list[int]
    scores: list[float] | None = None


_SHOWN_FROM = 0.5


def paint_panoptic(segmented: Mapping[str, Any]) -> Painted:
    """A panoptic segmentation as it is."""
    return _of_infos(segmented["segmentation"], segmented["segments_info"])


def paint_instances(segmented: Mapping[str, Any]) -> Painted:
    """Instances that score at least 0.5, the surest in front."""
    masks, infos = segmented["segmentation"], segmented["segments_info"]
    shown = [index for index, info in enumerate(infos) if info["score"] >= _SHOWN_FROM]
    shown.sort(key=lambda index: infos[index]["score"])
    ids = torch.full(masks.shape[1:], VOID, dtype=torch.int32, device=masks.device)
    for segment_id, index in enumerate(shown):
        ids[masks[index]] = segment_id
    return _of_infos(ids, [infos[index] for index in shown])


def paint_semantic(segmented: Tensor) -> Painted:
    """A segment for each class that occurs."""
    labels, ids = segmented.unique(return_inverse=True)
    return Painted(ids, labels.tolist())


def _of_infos(ids: Tensor, infos: Sequence[Mapping[str, Any]]) -> Painted:
    return Painted(ids, [info["label_id"] for info in infos], [info["score"] for info in infos])
