import itertools
import math
import time
from types import SimpleNamespace

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from eomtlib.evaluation import costs as cost
from eomtlib.evaluation.costs import (
    PeakMemory,
    attention_kernel,
    count_gmacs,
    count_parameters,
    measure_fps,
)
from eomtlib.inference.row_attention import MIN_TOKENS, autocast_inference
from eomtlib.models.parts.deformable_attention import DeformableAttention


def test_shared_parameters_count_once():
    linear = nn.Linear(3, 5)
    module = nn.ModuleList([linear, nn.Sequential(linear), nn.Linear(5, 2, bias=False)])
    module[2].requires_grad_(False)
    assert count_parameters(module) == 3 * 5 + 5 + 10
    assert count_parameters(module, trainable_only=True) == 20


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


class FakeClock:
    """A clock that only the measured function moves."""

    def __init__(self, monkeypatch, durations):
        self.now, self.calls, self._durations = 0.0, 0, iter(durations)
        monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def __call__(self):
        self.now += next(self._durations)
        self.calls += 1


def test_steady_times_end_early(monkeypatch):
    clock = FakeClock(monkeypatch, itertools.chain([500.0, 3.0], itertools.repeat(0.25)))
    timing = measure_fps(clock, device="cpu", warmup_s=4, min_repeats=12, max_seconds=60)
    assert timing.is_steady
    assert timing.samples_s == (0.25,) * 12
    assert timing.fps == pytest.approx(4)
    assert clock.calls == 1 + 5 + 12  # the compilation, four seconds of warm-up, the samples


def test_unsteady_times_end_with_the_budget(monkeypatch):
    clock = FakeClock(monkeypatch, itertools.cycle([1.0, 2.0]))
    timing = measure_fps(clock, device="cpu", max_seconds=90, batch_size=3)
    assert not timing.is_steady
    assert 80 < clock.now <= 93
    assert timing.median_s in (1.0, 1.5, 2.0)
    assert timing.fps == 3 / timing.median_s
    assert timing.quartiles_s[0] == 1.0
    assert timing.quartiles_s[2] == 2.0


@pytest.mark.parametrize(("seconds", "samples"), [(15.0, 2), (40.0, 1)])
def test_slow_functions_are_still_timed(monkeypatch, seconds, samples):
    clock = FakeClock(monkeypatch, itertools.repeat(seconds))
    timing = measure_fps(clock, device="cpu", max_seconds=30)
    assert timing.samples_s == (seconds,) * samples
    assert clock.calls == samples + 1
    assert not timing.is_steady


def test_interval_of_the_median_covers_it():
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(400):
        samples = (1 + torch.rand(40, generator=generator)).tolist()
        ordered = sorted(samples)
        half = cost._median_uncertainty(samples) * (ordered[19] + ordered[20]) / 2
        covered += abs((ordered[19] + ordered[20]) / 2 - 1.5) <= 1.5 * half
        assert math.isfinite(half)
    assert covered > 360


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


@pytest.mark.parametrize("can_reset", [True, False])
def test_peak_memory_sees_what_was_freed(monkeypatch, can_reset):
    if not can_reset:
        monkeypatch.setattr(cost, "_reset_process_peak", lambda: False)
    with PeakMemory("cpu") as memory:
        before = memory.mib
        held = torch.ones(512 * 2**18)  # 512 MiB; others may give some back meanwhile
        until = time.monotonic() + 10
        while memory.mib < before + 400 and time.monotonic() < until:
            time.sleep(0.01)
        del held
    assert before + 400 < memory.mib < before + 900
    assert ("sampled" in memory.method) or can_reset
