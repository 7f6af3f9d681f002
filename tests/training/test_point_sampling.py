import pytest
import torch
from torch.nn import functional as F
from transformers.models.mask2former.modeling_mask2former import sample_point

from eomtlib.core.errors import DataError
from eomtlib.core.structures import SegmentMap
from eomtlib.training.point_sampling import (
    sample_features,
    sample_mask_logits,
    sample_segments,
    stack_maps,
)


def segment_map(num_layers, size, num_segments, seed):
    """Noise is the hardest map: every pixel has other neighbours. Each segment has one layer."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((num_layers, *size), -1)
    for layer in range(num_layers):
        own = torch.tensor([-1, *range(layer, num_segments, num_layers)])
        ids[layer] = own[torch.randint(len(own), size, generator=generator)]
    return SegmentMap(
        ids=ids.short(),
        labels=torch.zeros(num_segments, dtype=torch.long),
        is_crowd=torch.zeros(num_segments, dtype=torch.bool),
    )


def grid_sampled(target, segment, points):
    mask = (target.ids == segment).any(0).float()[None, None]
    return F.grid_sample(mask, 2 * points[None, None] - 1, align_corners=False)[0, 0, 0]


@pytest.fixture(scope="module")
def targets():
    size = (12, 18)
    return [
        segment_map(1, size, 5, seed=0),
        segment_map(3, size, 7, seed=1),
        segment_map(1, size, 0, seed=2),
    ]


def random_points(*shape):
    points = torch.rand(*shape, 200, 2, generator=torch.Generator().manual_seed(3))
    points[..., :4, :] = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    points[..., 4, :] = 0.5
    return points


def test_segments_equal_grid_sample_on_their_masks_at_points_of_their_own(targets):
    images, segments = torch.cartesian_prod(torch.arange(3), torch.arange(7)).T
    points = random_points(21)
    samples = sample_segments(stack_maps(targets), points, images=images, segments=segments)
    assert samples.shape == (21, 200)
    for row, (image, segment) in enumerate(zip(images, segments, strict=True)):
        expected = grid_sampled(targets[image], segment, points[row])
        torch.testing.assert_close(samples[row], expected, rtol=0, atol=1e-6)


def points_up_to_the_border():
    """Some lie so near to it that a neighbour is missing."""
    near = torch.tensor([[0.01, 0.99], [1.0, 0.0]]).repeat(2, 1, 1)
    return torch.cat((random_points(2), near), 1)


def test_mask_logits_are_sampled_as_transformers_does():
    masks = torch.randn(2, 8, 6)
    points = points_up_to_the_border()
    expected = sample_point(masks[:, None], points, align_corners=False)[:, 0]
    torch.testing.assert_close(sample_mask_logits(masks, points), expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_channels_that_share_points_are_sampled_as_transformers_does(layout):
    masks = torch.randn(2, 3, 8, 6).to(memory_format=layout)
    points = points_up_to_the_border()
    found = sample_features(masks, points)
    expected = sample_point(masks, points, align_corners=False)
    torch.testing.assert_close(found.transpose(1, 2), expected)


def test_maps_of_different_sizes_are_refused(targets):
    with pytest.raises(DataError, match=r"12, 18.*pad the samples"):
        stack_maps([*targets, segment_map(1, (12, 12), 2, seed=0)])
