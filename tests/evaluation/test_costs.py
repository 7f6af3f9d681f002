import pytest
import timm
from torch import nn

from eomtlib.evaluation.costs import count_gmacs, count_parameters
from eomtlib.models.parts.deformable_attention import DeformableAttention


def test_shared_parameters_count_once():
    linear = nn.Linear(3, 5)
    module = nn.ModuleList([linear, nn.Sequential(linear), nn.Linear(5, 2, bias=False)])
    assert count_parameters(module) == 3 * 5 + 5 + 10


def test_gmacs_of_a_plain_vit_by_hand():
    def build():
        return timm.create_model(
            "vit_small_patch14_reg4_dinov2", img_size=640, patch_size=16, num_classes=0
        )

    patches, dim = 40 * 40, 384
    tokens = patches + 5
    block = tokens * 12 * dim**2 + 2 * tokens**2 * dim
    expected = patches * 3 * 16**2 * dim + 12 * block
    measured = count_gmacs(build, 640, call=lambda model, images: model(images))
    assert measured == pytest.approx(expected / 1e9, rel=1e-9)


def test_deformable_sampling_is_counted_by_formula():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = DeformableAttention(32, num_heads=4, num_levels=2, num_points=3)

        def predict(self, images):
            shapes = ((4, 5), (2, 2))
            query, feature = images.new_empty(1, 7, 32), images.new_empty(1, 24, 32)
            return self.attention(query, images.new_empty(1, 7, 1, 2), feature, shapes)

    linears = 7 * 32 * (2 * 24 + 24) + 24 * 32 * 32 + 7 * 32 * 32
    sampling = 5 * 7 * 2 * 3 * 32
    assert count_gmacs(Model, (8, 9)) * 1e9 == pytest.approx(linears + sampling)
