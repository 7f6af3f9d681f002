"""EoMT and PMT against outputs of the authors' programs, through files in their layouts."""

import pytest
import torch

from eomtlib.report.fidelity.difference import compare
from eomtlib.report.fidelity.released import RELEASED, fixture, released_differences, weight_values


@pytest.mark.parametrize("name", RELEASED)
def test_every_layer_equals_the_released_model(name, tmp_path):
    differences = released_differences(name, tmp_path)
    assert [d.what.partition(": ")[2] for d in differences] == [
        "every layer, masked",
        "the last, masked",
        "the last, unmasked",
    ]
    for difference in differences:
        assert difference.largest < 1e-3 < 1 < difference.magnitude


def test_weights_of_the_fixtures_follow_their_rule():
    description, arrays = fixture("eomt-dinov2")
    gamma = weight_values("encoder.backbone.blocks.0.ls1.gamma", [384])
    assert gamma.mean() == pytest.approx(0.3, abs=0.02)
    assert gamma.std() == pytest.approx(0.1, abs=0.02)
    weight = weight_values("mask_head.0.weight", [384, 384])
    assert weight.std() == pytest.approx(384**-0.5, rel=0.05)
    assert arrays["images"].shape == (2, 3, 96, 96)
    assert description["query_blocks"] == 3


def test_a_difference_that_is_no_number_is_no_agreement():
    good, bad = torch.zeros(2), torch.tensor([0.0, float("nan")])
    found = compare("a", [(bad, good), (good, good)], against="b", tolerance=1.0)
    assert not found.agrees
    with pytest.raises(ValueError, match="compared with"):
        compare("a", [(torch.zeros(2), torch.zeros(1))], against="b", tolerance=1.0)
