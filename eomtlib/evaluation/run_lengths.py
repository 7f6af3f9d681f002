"""Masks as COCO's compressed run lengths (pycocotools), some hundred bytes for a mask.

The format counts pixels column by column, background first: https://cocodataset.org/#format-results.
"""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco_mask
from torch import Tensor

from eomtlib.core.structures import SegmentMap


def encode_masks(masks: Tensor) -> list[bytes]:
    """``[K, H, W]`` bool, on any device → the compressed counts of each."""
    # Transposed where the masks are, so that what arrives lies column by column.
    columns = masks.transpose(1, 2).contiguous().cpu().numpy().view(np.uint8)
    return [entry["counts"] for entry in coco_mask.encode(columns.T)]


def encode_segments(segments: SegmentMap) -> list[bytes]:
    """The compressed counts of each segment of a map; no mask is made.

    Args:
        segments: of any number of layers, on the CPU, without ids that have no label. A segment
            that does not show has an empty mask.
    """
    pixels = segments.size[0] * segments.size[1]
    # All background, where a segment does not show.
    runs = [[pixels]] * segments.num_segments
    for layer in segments.ids.numpy():
        flat = layer.T.ravel()
        borders = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [pixels]))
        values = flat[borders[:-1]]
        for segment in np.unique(values[values >= 0]):
            own = np.stack((borders[:-1], borders[1:]), axis=1)[values == segment]
            runs[segment] = np.diff(own.ravel(), prepend=0, append=pixels).tolist()
    entries = [{"size": list(segments.size), "counts": counts} for counts in runs]
    return [coco_mask.frPyObjects(entry, *segments.size)["counts"] for entry in entries]
