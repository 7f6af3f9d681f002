"""How pairs are made and summed up; what is timed here takes no time."""

import pytest

from benchmarks.compare import Comparison


def comparison(samples):
    return Comparison(
        part="a", peer="b", samples=samples, bar=2.0, agreement="equal", unit="1 image"
    )


def test_the_ratio_is_of_pairs_not_of_medians():
    # A machine that is slow for a while slows both sides of a pair.
    found = comparison(((1.0, 2.0), (10.0, 20.0), (1.0, 2.0), (1.0, 3.0), (1.0, 1.0)))
    assert found.ratio == 2.0
    assert found.interval == (1.0, 3.0)
    assert found.medians == (1.0, 2.0)


def test_the_interval_narrows_with_the_number_of_pairs():
    spread = tuple((1.0, 1.0 + n % 10) for n in range(400))
    low, high = comparison(spread).interval
    assert low == pytest.approx(5.0, abs=1)
    assert high - low <= 2
