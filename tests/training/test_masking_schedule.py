from itertools import pairwise

import pytest

from eomtlib.core.errors import ConfigurationError
from eomtlib.training.masking import annealing_windows, masking_probabilities

COCO_STEPS = 12 * 7391


@pytest.mark.parametrize(
    ("num_blocks", "first_window", "starts", "ends"),
    [
        # EoMT-L, DINOv2, COCO.
        (4, None, [14782, 29564, 44346, 59128], [29564, 44346, 59128, 73910]),
        # PMT-L, COCO.
        (
            6,
            (0, 3000 / COCO_STEPS),
            [0, 23651, 32520, 41389, 50258, 59128],
            [3000, 38433, 47302, 56171, 65040, 73910],
        ),
    ],
)
def test_windows_are_those_of_the_released_models(num_blocks, first_window, starts, ends):
    windows = annealing_windows(num_blocks, first_window=first_window)
    assert [start * COCO_STEPS for start, _ in windows] == pytest.approx(starts, abs=1)
    assert [end * COCO_STEPS for _, end in windows] == pytest.approx(ends, abs=1)


def test_probability_falls_from_one_to_zero_block_by_block():
    windows = annealing_windows(3)
    assert masking_probabilities(0.0, windows) == [1, 1, 1]
    assert masking_probabilities(1.0, windows) == [0, 0, 0]
    assert masking_probabilities(1 / 4, windows) == pytest.approx([0.5**0.9, 1, 1])
    # The second window goes from 5/12 to 7/12: a quarter of it has passed.
    assert masking_probabilities(11 / 24, windows, power=2.0) == pytest.approx([0, 0.75**2, 1])
    progress = [step / 1000 for step in range(1001)]
    for block in range(3):
        curve = [masking_probabilities(p, windows)[block] for p in progress]
        assert all(0 <= late <= early <= 1 for early, late in pairwise(curve))


def test_a_window_without_length_is_a_switch():
    assert masking_probabilities(0.0, [(0.0, 0.0)]) == [0]
    assert masking_probabilities(0.4, [(0.5, 0.5)]) == [1]


@pytest.mark.parametrize("window", [(0, 3000), (0.5, 0.2)])
def test_windows_outside_the_run_are_refused(window):
    with pytest.raises(ConfigurationError, match="divide steps by the steps of the run"):
        annealing_windows(4, first_window=window)
