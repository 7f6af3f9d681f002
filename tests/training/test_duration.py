import pytest

from eomtlib.core.errors import ConfigurationError
from eomtlib.training.duration import parse_duration


def steps(text, *, samples=118_271, batch_size=16, seconds=0.5):
    return parse_duration(text).steps(
        samples=samples, batch_size=batch_size, seconds_per_step=lambda: seconds
    )


def test_durations_become_steps():
    assert steps("300steps") == steps(300) == steps("300") == 300
    assert steps("12epochs") == 12 * 7391
    assert steps("5min", seconds=0.5) == 600
    assert steps("0.5epochs", samples=100, batch_size=10) == 5
    assert steps("1epochs", samples=3, batch_size=16) == 1


def test_only_minutes_measure():
    with pytest.raises(ZeroDivisionError):
        steps("1min", seconds=0)
    assert steps("2steps", seconds=0) == 2


@pytest.mark.parametrize("text", ["", "soon", "-3steps", "0min", "2.5", "3 weeks"])
def test_what_is_no_duration_is_named(text):
    with pytest.raises(ConfigurationError, match="duration="):
        parse_duration(text)
