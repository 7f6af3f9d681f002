"""How fast a function is, and how many images a second a model takes, in two senses."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from eomtlib.inference.modes import in_mode
from eomtlib.inference.segmenter import Segmenter

TIMING_METHOD = 3
"""What ``time_model`` times, as ``TimingRecord.method`` numbers it."""


STEADY = 0.02
"""Up to which share of the median half the width of its interval counts as steady."""


@dataclass(frozen=True)
class Timing:
    """Repeated measurements of one call.

    Attributes:
        rounds_s: of each round the seconds of each call, in order, the warm-up left out.
        batch_size: images a call.
    """

    rounds_s: tuple[tuple[float, ...], ...]
    batch_size: int = 1

    @property
    def median_s(self) -> float:
        """The median of the rounds' medians in seconds: a fast round with more calls weighs 1."""
        return statistics.median(map(statistics.median, self.rounds_s))

    @property
    def interval_s(self) -> tuple[float, float]:
        """Of the rounds' medians, or of the calls of an only round, the interval of the median.

        It holds 95 %, or spans all of them where they are too few for that.
        """
        several = len(self.rounds_s) > 1
        values = list(map(statistics.median, self.rounds_s)) if several else self.rounds_s[0]
        return _interval(values) or (min(values), max(values))

    @property
    def is_steady(self) -> bool:
        """Whether half the interval's width is at most ``STEADY`` of the median."""
        low, high = self.interval_s
        return high - low <= 2 * STEADY * self.median_s

    @property
    def fps(self) -> float:
        """Images a second: ``batch_size`` over the median."""
        return self.batch_size / self.median_s


def measure_fps(
    function: Callable[[], object],
    *,
    device: torch.device | str,
    batch_size: int = 1,
    warmup_s: float = 1.0,
    min_repeats: int = 10,
    max_repeats: int = 1000,
    max_seconds: float = 30.0,
    tolerance: float = STEADY,
) -> Timing:
    """Calls a function until the median of its time is steady, or the time is up.

    The device is synchronised inside the timed region. The first call never counts, for it may
    compile. After it come at least two timed calls, or one that took ``max_seconds`` by itself.

    Args:
        function: on a fixed input; an end-to-end function includes moving it to the device.
        device: that the function works on.
        batch_size: images a call.
        warmup_s: seconds of further calls that do not count, if the second is shorter than that.
        min_repeats: timed calls before the median can count as steady, if time allows.
        max_repeats: timed calls at most.
        max_seconds: for everything after the first call.
        tolerance: steady means that half the width of the median's 95% interval is below this
            share of the median.
    """
    _synchronize(device)
    _timed(function, device)
    start = time.perf_counter()
    last = _timed(function, device)
    # The first call may have compiled. If the second is long by itself, it is a sample already.
    samples = [last] if last >= warmup_s else []
    while not samples and time.perf_counter() - start < min(warmup_s, max_seconds / 2):
        _timed(function, device)
    must = 1 if last >= max_seconds else 2
    samples += [_timed(function, device) for _ in range(must - len(samples))]
    while len(samples) < max_repeats:
        interval = _interval(samples) if len(samples) >= min_repeats else None
        median = statistics.median(samples)
        if interval and interval[1] - interval[0] < 2 * tolerance * median:
            break
        if time.perf_counter() - start + median > max_seconds:
            break
        samples.append(_timed(function, device))
    return Timing((tuple(samples),), batch_size)


def merge_timings(timings: Sequence[Timing]) -> Timing:
    """Measurements of one call at several times as one, the rounds of all in order.

    Args:
        timings: at least one; the batch size is that of the first.
    """
    rounds = tuple(samples for timing in timings for samples in timing.rounds_s)
    return Timing(rounds, timings[0].batch_size)


def time_in_turns(
    functions: Sequence[Callable[[], object]],
    *,
    device: torch.device | str,
    seconds: float = 0.0,
    min_rounds: int = 5,
    max_rounds: int = 200,
) -> tuple[tuple[float, ...], ...]:
    """Calls ways to the same end in turns, in the opposite order in every other round.

    What slows the machine for a while so slows all of them, and leaves their ratios alone.

    Args:
        functions: on a fixed input each.
        device: that they work on.
        seconds: to spend, after one call of each that does not count.
        min_rounds: that are made however long they take.
        max_rounds: rounds at most.

    Returns:
        For each round the seconds of each function, in the order of ``functions``.
    """
    for function in functions:
        function()
    _synchronize(device)
    rounds: list[tuple[float, ...]] = []
    start = time.perf_counter()
    while len(rounds) < max_rounds:
        if len(rounds) >= min_rounds and time.perf_counter() - start > seconds:
            break
        way = -1 if len(rounds) % 2 else 1
        rounds.append(tuple([_timed(function, device) for function in functions[::way]][::way]))
    return tuple(rounds)


@dataclass(frozen=True)
class ModelTiming:
    """What ``time_model`` measures.

    Attributes:
        alone: the model, one fixed input on the device.
        end_to_end: from an image to its segmentation; None where that was not timed.
        photo_size: height and width of that image, before it is fitted into the model's input.
        attention_kernel: as the function of that name gives it.
    """

    alone: Timing
    end_to_end: Timing | None
    photo_size: tuple[int, int]
    attention_kernel: str


@torch.inference_mode()
def time_model(segmenter: Segmenter, image: Tensor, *, max_seconds: float) -> ModelTiming:
    """Times a model, batch 1, on one fixed image (the papers average over the val set).

    Args:
        segmenter: the model as inference runs it: its mode is what is timed. As a model that was
            barely trained segments nothing, a tenth of the queries is made sure of a class.
        image: ``[3, H, W]`` uint8, at its original size.
        max_seconds: for each of the two timings.
    """
    model, masked, device = segmenter.model, segmenter.masked, segmenter.device
    views = segmenter.views(image)[:1]
    predict = in_mode(lambda x: model.predict(x, masked=masked), segmenter.mode)

    def end_to_end() -> object:
        masks, class_logits = segmenter.predict_all(segmenter.views(image))
        return segmenter.segment((masks, _keep_some(class_logits)), [tuple(image.shape[-2:])])

    with segmenter.running():
        alone = measure_fps(lambda: predict(views), device=device, max_seconds=max_seconds)
        kernel = attention_kernel(lambda: model.predict(views, masked=masked))
    whole = measure_fps(end_to_end, device=device, max_seconds=max_seconds)
    return ModelTiming(alone, whole, tuple(image.shape[-2:]), kernel)


def _keep_some(class_logits: Tensor) -> Tensor:
    """The same logits with every tenth query sure of a class.

    Post-processing costs what it keeps, and a model that was barely trained keeps nothing: so every
    architecture is timed with as many queries as a COCO image has segments, 20 of 200.
    """
    sure = class_logits.clone()
    sure[:, ::10, 0] = 30.0 + class_logits.amax()
    return sure


_KERNELS = {
    "_scaled_dot_product_flash_attention": "flash",
    "_scaled_dot_product_flash_attention_for_cpu": "flash (CPU)",
    "_scaled_dot_product_efficient_attention": "memory-efficient",
    "_scaled_dot_product_cudnn_attention": "cuDNN",
    "_scaled_dot_product_fused_attention_overrideable": "the device's own",
    "_scaled_dot_product_attention_math_for_mps": "math (MPS)",
    # The unfused form shows by its name in inference mode, else by its softmax.
    "_scaled_dot_product_attention_math": "math",
    "_safe_softmax": "math",
    # eomtlib.inference.row_attention
    "attention_in_rows": "rows (CPU)",
}


def attention_kernel(function: Callable[[], object]) -> str:
    """The kernels that PyTorch's attention is dispatched to, seen while the function runs once.

    Args:
        function: an eager forward pass on the device, at the precision and the input that are
            timed; compiled code cannot be looked into.

    Returns:
        Names joined by " + ", such as ``flash``, ``flash (CPU)``, ``memory-efficient``, ``cuDNN``
        or ``math`` (unfused); ``none seen`` where no attention operator ran.
    """
    with _OperatorNames() as seen:
        function()
    kernels = dict.fromkeys(kernel for name, kernel in _KERNELS.items() if name in seen.names)
    return " + ".join(kernels) or "none seen"


class _OperatorNames(TorchDispatchMode):
    """Names of the operators that run, attention taken apart into the kernel that it chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        # In inference mode attention arrives here as a whole.
        if func is torch.ops.aten.scaled_dot_product_attention.default:
            with self:
                return func.decompose(*args, **(kwargs or {}))
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95% interval of the median (order statistics); None where there are too few for one."""
    count, ordered = len(values), sorted(values)
    low = math.floor(count / 2 - 1.96 * math.sqrt(count) / 2)
    # The low-th smallest and the low-th largest.
    return (ordered[low - 1], ordered[count - low]) if low >= 1 else None


def _timed(function: Callable[[], object], device: torch.device | str) -> float:
    start = time.perf_counter()
    function()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: torch.device | str) -> None:
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)
