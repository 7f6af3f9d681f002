import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from eomtlib.core.run_lengths import RunLengths, mask_in_box, numbers_of
from eomtlib.core.structures import SegmentMap


def decoded(masks):
    return [coco_mask.decode(entry).astype(bool) for entry in masks.entries()]


def test_masks_come_back_as_they_were():
    generator = torch.Generator().manual_seed(0)
    masks = (
        torch.rand(4, 7, 12, generator=generator) > torch.tensor([0.1, 0.5, 0.9, 2])[:, None, None]
    )
    encoded = RunLengths.of(masks)
    assert RunLengths.of(encoded) is encoded
    assert (encoded.size, len(encoded)) == ((7, 12), 4)
    for found, mask in zip(decoded(encoded), masks, strict=True):
        assert np.array_equal(found, mask.numpy())
    assert encoded.areas() == masks.flatten(1).sum(1).tolist()
    assert len(RunLengths.of(masks[:0])) == 0


@pytest.mark.parametrize("size", [(9, 5), (1, 8), (8, 1), (1, 1)])
def test_segments_of_overlapping_layers_come_back_as_masks(size):
    rng = np.random.default_rng(1)
    for _ in range(20):
        ids = np.stack([rng.integers(-1, 3, size), rng.integers(2, 5, size)]).astype(np.int16)
        ids[1][ids[1] == 2] = -1  # a segment lives in one layer; the last two never show
        segments = SegmentMap(torch.from_numpy(ids), torch.zeros(7).long(), torch.zeros(7).bool())
        encoded = RunLengths.of_segments(segments)
        assert len(encoded) == 7
        for segment, found in enumerate(decoded(encoded)):
            assert np.array_equal(found, (ids == segment).any(0))


@pytest.mark.parametrize("density", [0.02, 0.5, 0.98, 0, 1])
def test_a_mask_in_its_box_is_what_pycocotools_decodes(density):
    rng = np.random.default_rng(2)
    for _ in range(30):
        mask = np.zeros(rng.integers(1, 12, 2), bool)
        top, left = rng.integers(0, mask.shape)
        mask[top:, left : left + 4] = rng.random(mask[top:, left : left + 4].shape) < density
        masks = RunLengths.of(torch.from_numpy(mask)[None])
        found, (row, column) = masks.boxed(0)
        assert found.any() == mask.any()
        whole = np.zeros_like(mask)
        whole[row : row + found.shape[0], column : column + found.shape[1]] = found
        assert np.array_equal(whole, mask)
        assert [column, row, *found.shape[::-1]] == masks.boxes()[0]
        assert found.flags.c_contiguous


def test_runs_of_no_pixels_change_nothing():
    counts = np.array([0, 0, 3, 2, 0, 1, 4, 0, 2])  # background first
    found, corner = mask_in_box(counts, 4)
    assert corner == (0, 0)
    assert np.array_equal(found.T.ravel(), [0, 0, 0, 1, 1, 1, 0, 0])


def test_numbers_are_those_that_were_written():
    rng = np.random.default_rng(3)
    for _ in range(20):
        counts = rng.integers(1, 40, 2 * rng.integers(1, 20) - 1).tolist()
        text = coco_mask.frPyObjects({"size": [1, sum(counts)], "counts": counts}, 1, sum(counts))
        assert numbers_of(text["counts"]).tolist() == counts
    for bad in (b"", b"\x00", b"P"):
        assert len(numbers_of(bad)) == 0
