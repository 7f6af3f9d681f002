import math

import pytest
import torch
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention as ReferenceAttention,
)

from eomtlib.core.errors import ConfigurationError
from eomtlib.models.parts.deformable_attention import (
    DeformableAttention,
    available_samplers,
    deformable_sample,
    grid_centres,
    set_sampler,
)

SHAPES = ((2, 3), (4, 6), (5, 1))
NUM_CELLS = sum(rows * columns for rows, columns in SHAPES)


def random_inputs(*, batch=2, queries=5, heads=2, channels=3, points=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator, dtype=dtype)

    value = uniform(batch, NUM_CELLS, heads, channels) - 0.5
    # Some of the points lie outside.
    locations = 1.4 * uniform(batch, queries, heads, len(SHAPES), points, 2) - 0.2
    weights = uniform(batch, queries, heads, len(SHAPES), points)
    return value, locations, weights


def sample_naively(value, shapes, locations, weights):
    batch, _, heads, channels = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    out = torch.zeros(batch, queries, heads, channels, dtype=value.dtype)
    for b in range(batch):
        for q in range(queries):
            for h in range(heads):
                start = 0
                for level, (rows, columns) in enumerate(shapes):
                    cells = value[b, start : start + rows * columns, h].view(rows, columns, -1)
                    start += rows * columns
                    for p in range(points):
                        x, y = locations[b, q, h, level, p].tolist()
                        x, y = x * columns - 0.5, y * rows - 0.5
                        for row in (math.floor(y), math.floor(y) + 1):
                            for column in (math.floor(x), math.floor(x) + 1):
                                if 0 <= row < rows and 0 <= column < columns:
                                    nearness = (1 - abs(y - row)) * (1 - abs(x - column))
                                    weight = weights[b, q, h, level, p] * nearness
                                    out[b, q, h] += weight * cells[row, column]
    return out.flatten(2)


def test_sampling_equals_a_naive_loop():
    value, locations, weights = random_inputs()
    expected = sample_naively(value, SHAPES, locations, weights)
    torch.testing.assert_close(deformable_sample(value, SHAPES, locations, weights), expected)


def test_gradients_of_sampling():
    inputs = [
        x.requires_grad_() for x in random_inputs(batch=1, queries=2, heads=2, channels=2, points=1)
    ]
    assert torch.autograd.gradcheck(lambda v, loc, w: deformable_sample(v, SHAPES, loc, w), inputs)


def test_half_precision_values_keep_their_dtype_and_exact_locations():
    value, locations, weights = random_inputs(dtype=torch.float32)
    halved = deformable_sample(value.bfloat16(), SHAPES, locations, weights)
    assert halved.dtype == torch.bfloat16
    exact = deformable_sample(value, SHAPES, locations, weights)
    torch.testing.assert_close(halved.float(), exact, atol=2e-2, rtol=2e-2)


def reference_and_ours():
    torch.manual_seed(0)
    reference = ReferenceAttention(embed_dim=16, num_heads=4, n_levels=3, n_points=2)
    ours = DeformableAttention(16, num_heads=4, num_levels=3, num_points=2)
    return reference, ours


def test_module_equals_transformers():
    reference, ours = reference_and_ours()
    ours.load_state_dict(reference.state_dict())
    feature = torch.randn(2, NUM_CELLS, 16)
    query = torch.randn(2, NUM_CELLS, 16)
    references = grid_centres(SHAPES)
    expected, _ = reference(
        hidden_states=query,
        encoder_hidden_states=feature,
        reference_points=references.expand(2, -1, 3, -1),
        spatial_shapes_list=SHAPES,
    )
    torch.testing.assert_close(ours(query, references, feature, SHAPES), expected)


def test_heads_start_in_their_own_directions():
    attention = DeformableAttention(16, num_heads=4, num_levels=3, num_points=2)
    offsets = attention.sampling_offsets(torch.randn(16)).view(4, 3, 2, 2)
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    for level in range(3):
        torch.testing.assert_close(offsets[:, level, 0], directions, atol=1e-6, rtol=0)
        torch.testing.assert_close(offsets[:, level, 1], 2 * directions, atol=1e-6, rtol=0)


def test_sampling_macs_count_every_point_and_channel_five_times():
    attention = DeformableAttention(16, num_heads=4, num_levels=3, num_points=2, value_ratio=0.5)
    by_hand = 5 * 2 * 7 * 4 * 3 * 2 * (8 // 4)
    assert attention.sampling_macs(num_queries=7, batch=2) == by_hand


def test_the_kernel_is_refused_where_it_cannot_run():
    ours = DeformableAttention(16, num_heads=4, num_levels=3, num_points=2)
    with pytest.raises(ConfigurationError, match=r"triton.*(needs a GPU|not installed)"):
        set_sampler(ours, "triton")
    assert ours.sampler == "pytorch"
    assert available_samplers("cpu") == ("pytorch",)
    with pytest.raises(ConfigurationError, match="Did you mean 'triton'"):
        set_sampler(ours, "tritn")
