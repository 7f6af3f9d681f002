import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from eomtlib.core.structures import SegmentMap
from eomtlib.evaluation.run_lengths import encode_masks, encode_segments


def decoded(counts, size):
    return coco_mask.decode({"size": list(size), "counts": counts}).astype(bool)


def test_masks_come_back_as_they_were():
    generator = torch.Generator().manual_seed(0)
    masks = (
        torch.rand(4, 7, 12, generator=generator) > torch.tensor([0.1, 0.5, 0.9, 2])[:, None, None]
    )
    for counts, mask in zip(encode_masks(masks), masks, strict=True):
        assert np.array_equal(decoded(counts, (7, 12)), mask.numpy())
    assert encode_masks(masks[:0]) == []


@pytest.mark.parametrize("size", [(9, 5), (1, 8), (8, 1), (1, 1)])
def test_segments_of_overlapping_layers_come_back_as_masks(size):
    rng = np.random.default_rng(1)
    for _ in range(20):
        ids = np.stack([rng.integers(-1, 3, size), rng.integers(2, 5, size)]).astype(np.int16)
        ids[1][ids[1] == 2] = -1  # a segment lives in one layer; the last two never show
        segments = SegmentMap(torch.from_numpy(ids), torch.zeros(7).long(), torch.zeros(7).bool())
        encoded = encode_segments(segments)
        assert len(encoded) == 7
        for segment, counts in enumerate(encoded):
            assert np.array_equal(decoded(counts, size), (ids == segment).any(0))
