"""Masks as COCO's compressed run lengths (pycocotools), some hundred bytes for a mask.

The format counts pixels column by column, background first: https://cocodataset.org/#format-results.
"""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco_mask
from torch import Tensor

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import VOID, SegmentMap


def encode_masks(masks: Tensor) -> list[bytes]:
    """``[K, H, W]`` bool, on any device → the compressed counts of each."""
    # Transposed where the masks are, so that what arrives lies column by column.
    columns = masks.transpose(1, 2).contiguous().cpu().numpy().view(np.uint8)
    return [entry["counts"] for entry in coco_mask.encode(columns.T)]


def encode_segments(segments: SegmentMap) -> list[bytes]:
    """The compressed counts of each segment of a map; no mask is made.

    Args:
        segments: of any number of layers, on the CPU. A segment that does not show has an empty
            mask.

    Raises:
        ConfigurationError: when the map holds an id that has no label.
    """
    height, width = segments.size
    pixels = height * width
    runs: list[tuple[np.ndarray, np.ndarray]] = [(_NO_RUN, _NO_RUN)] * segments.num_segments
    for layer in segments.ids.numpy():
        if layer.max(initial=VOID) >= len(runs):
            raise ConfigurationError(
                f"target holds the id {layer.max()}, but there are {len(runs)} labels."
            )
        flat = layer.T.ravel()
        starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
        ends = np.append(starts[1:], pixels)
        values = flat[starts]
        for segment in np.unique(values[values >= 0]):
            own = values == segment
            runs[segment] = starts[own], ends[own]
    encoded = []
    for starts, ends in runs:
        borders = np.stack((starts, ends), axis=1).ravel()
        counts = np.diff(borders, prepend=0, append=pixels).tolist()
        entry = {"size": [height, width], "counts": counts}
        encoded.append(coco_mask.frPyObjects(entry, height, width)["counts"])
    return encoded


_NO_RUN = np.empty(0, np.int64)
