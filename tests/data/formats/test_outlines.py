import tracemalloc

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from eomtlib.data.formats.outlines import rasterise, text_pixels


def outlines(rng, height, width):
    """Polygons, the run lengths of a random mask as numbers, and as text."""
    polygons = [
        (rng.uniform(-0.2, 1.2, (rng.integers(3, 9), 2)) * (width, height)).ravel().tolist()
        for _ in range(rng.integers(1, 4))
    ]
    mask = np.asfortranarray(rng.random((height, width)) < rng.choice([0, 0.05, 0.5, 0.95, 1]))
    flat = np.concatenate(([0], mask.T.ravel(), [2]))
    counts = np.diff(np.flatnonzero(np.diff(flat)), prepend=0).tolist()
    text = coco_mask.encode(mask.view(np.uint8))["counts"].decode()
    size = [height, width]
    return polygons, {"size": size, "counts": counts}, {"size": size, "counts": text}


@pytest.mark.parametrize("seed", range(40))
def test_a_mask_is_pycocotools_own_cut_to_its_box(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2).tolist()
    for outline in outlines(rng, height, width):
        encoded = outline
        if isinstance(outline, list):
            encoded = coco_mask.merge(coco_mask.frPyObjects(outline, height, width))
        elif isinstance(outline["counts"], list):
            encoded = coco_mask.frPyObjects(outline, height, width)
        expected = coco_mask.decode(encoded).astype(bool)
        mask, (top, left) = rasterise(outline, (height, width))
        assert mask.dtype == bool
        assert mask.sum() == expected.sum()
        box = expected[top : top + mask.shape[0], left : left + mask.shape[1]]
        assert np.array_equal(mask, box)
        # As small as can be.
        assert all(side.any() for side in (mask[:1], mask[-1:], mask[:, :1], mask[:, -1:])) or (
            mask.size == 0
        )


def test_an_outline_takes_the_room_of_its_box_whatever_the_image_is():
    size, corners = (6000, 8000), [[4000.0, 3000.0, 4080, 3000, 4080, 3070, 4000, 3070]]
    encoded = coco_mask.frPyObjects(corners, *size)[0]["counts"].decode()
    for outline in (corners, {"size": list(size), "counts": encoded}):
        tracemalloc.start()
        mask, corner = rasterise(outline, size)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (mask.shape, corner) == ((70, 80), (3000, 4000))
        assert mask.all()
        assert peak < 2**20 < np.prod(size)
    assert text_pixels(encoded.encode()) == np.prod(size)


@pytest.mark.parametrize("text", [b"", b"\x00", b"P", b"o" * 40])
def test_what_is_no_text_of_run_lengths_has_no_pixels(text):
    assert text_pixels(text) == -1
