"""Segmentations of any task as one map of segments, for pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eomtlib.core.run_lengths import RunLengths
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
    masks, infos = RunLengths.of(segmented["segmentation"]), segmented["segments_info"]
    shown = [index for index, info in enumerate(infos) if info["score"] >= _SHOWN_FROM]
    shown.sort(key=lambda index: infos[index]["score"])
    ids = np.full(masks.size, VOID, np.int32)
    for segment_id, index in enumerate(shown):
        mask, (top, left) = masks.boxed(index)
        ids[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = segment_id
    return _of_infos(torch.from_numpy(ids), [infos[index] for index in shown])


def paint_semantic(segmented: Tensor) -> Painted:
    """A segment for each class that occurs."""
    occurs = segmented.flatten().bincount() > 0
    # Classes below that occur: sorting all pixels takes gigabytes of a large photograph.
    ids = (occurs.cumsum(0, dtype=torch.int32) - 1)[segmented]
    return Painted(ids, occurs.nonzero().flatten().tolist())


def _of_infos(ids: Tensor, infos: Sequence[Mapping[str, Any]]) -> Painted:
    return Painted(ids, [info["label_id"] for info in infos], [info["score"] for info in infos])
