import itertools
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from eomtlib.evaluation import speed
from eomtlib.evaluation.speed import Timing, attention_kernel, measure_fps, time_in_turns
from eomtlib.inference.row_attention import MIN_TOKENS, autocast_inference


class FakeClock:
    """A clock that only the measured function moves."""

    def __init__(self, monkeypatch, durations):
        self.now, self.calls, self._durations = 0.0, 0, iter(durations)
        monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def __call__(self):
        self.now += next(self._durations)
        self.calls += 1


def test_steady_times_end_early(monkeypatch):
    clock = FakeClock(monkeypatch, itertools.chain([500.0, 3.0], itertools.repeat(0.25)))
    timing = measure_fps(clock, device="cpu", warmup_s=4, min_repeats=12, max_seconds=60)
    assert timing.rounds_s == ((0.25,) * 12,)
    assert timing.is_steady
    assert timing.fps == pytest.approx(4)
    assert clock.calls == 1 + 5 + 12  # the compilation, four seconds of warm-up, the samples


def test_unsteady_times_end_with_the_budget(monkeypatch):
    clock = FakeClock(monkeypatch, itertools.cycle([1.0, 2.0]))
    timing = measure_fps(clock, device="cpu", max_seconds=90, batch_size=3)
    assert 80 < clock.now <= 93
    assert timing.median_s in (1.0, 1.5, 2.0)
    assert timing.fps == 3 / timing.median_s
    assert timing.interval_s == (1.0, 2.0)
    assert not timing.is_steady


@pytest.mark.parametrize(("seconds", "samples"), [(15.0, 2), (40.0, 1)])
def test_slow_functions_are_still_timed(monkeypatch, seconds, samples):
    clock = FakeClock(monkeypatch, itertools.repeat(seconds))
    timing = measure_fps(clock, device="cpu", max_seconds=30)
    assert timing.rounds_s == ((seconds,) * samples,)
    assert clock.calls == samples + 1


def test_interval_of_the_median_covers_it():
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(400):
        low, high = Timing((tuple((1 + torch.rand(40, generator=generator)).tolist()),)).interval_s
        covered += low <= 1.5 <= high
    assert 0.93 < covered / 400 < 1


def test_ways_take_turns_in_beginning(monkeypatch):
    clock = FakeClock(monkeypatch, itertools.count(1.0))
    rounds = time_in_turns((clock, clock), device="cpu", min_rounds=3)
    assert rounds == ((3.0, 4.0), (6.0, 5.0), (7.0, 8.0))
    assert len(time_in_turns((clock,), device="cpu", seconds=1e9, max_rounds=7)) == 7


@pytest.mark.parametrize("inference", [False, True])
def test_attention_kernel_is_the_one_that_ran(inference):
    q = torch.zeros(1, 2, 3, 8)

    def attend():
        with torch.inference_mode(inference):
            F.scaled_dot_product_attention(q, q, q)

    with sdpa_kernel(SDPBackend.MATH):
        assert attention_kernel(attend) == "math"
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert attention_kernel(attend) == "flash (CPU)"
    many = torch.zeros(1, 2, MIN_TOKENS, 8, dtype=torch.bfloat16)
    with autocast_inference("cpu", "bfloat16"):
        assert attention_kernel(lambda: F.scaled_dot_product_attention(many, many, many)) == (
            "rows (CPU)"
        )
    assert attention_kernel(lambda: q.softmax(-1)) == "none seen"
