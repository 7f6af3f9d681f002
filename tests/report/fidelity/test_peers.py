"""Our parts against timm's and transformers' at the same random weights."""

import pytest

from eomtlib.models.encoder_names import TIMM_NAMES
from eomtlib.report.fidelity import peers
from eomtlib.report.fidelity.timm_peers import encoder_difference

SMALL = [(pretraining, "small") for pretraining in TIMM_NAMES]
LARGER = [
    pytest.param(pretraining, size, marks=pytest.mark.slow)
    for pretraining, sizes in TIMM_NAMES.items()
    for size in sizes
    if size != "small"
]


def check(difference, tolerance):
    assert difference.tolerance == tolerance
    assert difference.largest < tolerance
    assert difference.magnitude > 0.5


@pytest.mark.parametrize(("pretraining", "size"), [("none", "nano"), *SMALL, *LARGER])
def test_encoders_equal_timms_own_forward_pass(pretraining, size):
    check(encoder_difference(pretraining, size), 1e-4)


@pytest.mark.parametrize("dinov3", [False, True])
def test_eomt_equals_transformers_from_its_own_folder(dinov3, tmp_path):
    check(peers.eomt_difference(tmp_path, dinov3=dinov3), 1e-4)


def test_parts_of_mask2former_equal_transformers():
    check(peers.pixel_decoder_difference(), 1e-4)
    check(peers.decoder_difference(), 1e-4)


def test_loss_equals_transformers():
    differences = peers.loss_differences()
    assert len(differences) == 3
    for difference in differences:
        check(difference, 1e-5)
