"""What a model costs: parameters, multiply-accumulates, time and memory.

The papers' "GFLOPs" are giga multiply-accumulates, GMACs, and are called so here.
"""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil
import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from eomtlib.models.parts.deformable_attention import DeformableAttention
from eomtlib.models.parts.masked_attention import Masking

_MIB = 2**20


def count_parameters(module: nn.Module, *, trainable_only: bool = False) -> int:
    """Number of parameters, each counted once however often it is used.

    Args:
        module: any module.
        trainable_only: leaves out those that get no gradient.
    """
    chosen = (p for p in module.parameters() if p.requires_grad or not trainable_only)
    return sum(p.numel() for p in chosen)


def _predict(model: nn.Module, images: Tensor) -> object:
    return model.predict(images)


def count_gmacs(
    build: Callable[[], nn.Module],
    image_size: int | tuple[int, int],
    *,
    call: Callable[[nn.Module, Tensor], object] = _predict,
) -> float:
    """Giga multiply-accumulates of one image's inference; nothing is computed, no memory is taken.

    Half of what PyTorch's operator counter counts on the meta device (matrix products, attention
    and convolutions), plus the sampling of deformable attention, which it does not see: 5
    multiply-accumulates per sampled point and channel. Masked attention is counted as published,
    with every mask in every pixel, although ours computes its masks on the tokens' grid alone.

    Args:
        build: makes the model; called under the meta device, so it must not load weights.
        image_size: height and width, or one number for a square.
        call: what is counted, given the model in eval mode and ``[1, 3, H, W]`` float images.

    Returns:
        10⁹ multiply-accumulates.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    with torch.device("meta"), torch.inference_mode():
        model = build().eval().requires_grad_(False)
        images = torch.empty(1, 3, *size)
        unseen: list[int] = []

        def count_sampling(
            module: DeformableAttention, args: tuple, kwargs: dict, _: object
        ) -> None:
            query = kwargs["query"] if "query" in kwargs else args[0]
            unseen.append(module.sampling_macs(query.shape[1], query.shape[0]))

        def count_spared(module: Masking, args: tuple, _: object) -> None:
            unseen.append(module.spared_macs(*args[:2]))

        handles = []
        for module in model.modules():
            if isinstance(module, DeformableAttention):
                handles.append(module.register_forward_hook(count_sampling, with_kwargs=True))
            elif isinstance(module, Masking):
                handles.append(module.register_forward_hook(count_spared))
        with FlopCounterMode(display=False) as counter:
            call(model, images)
        for handle in handles:
            handle.remove()
    return (counter.get_total_flops() / 2 + sum(unseen)) / 1e9


@dataclass(frozen=True)
class Timing:
    """Repeated measurements of one call.

    Attributes:
        samples_s: seconds of each call, in order, the warm-up left out.
        quartiles_s: first quartile, median and third quartile in seconds.
        batch_size: images a call.
        fps: images a second: ``batch_size`` over the median.
        is_steady: whether the median was known well enough before the time was up.
        mode: such as ``eager`` or ``compiled``: what the caller says was timed.
    """

    samples_s: tuple[float, ...]
    quartiles_s: tuple[float, float, float]
    batch_size: int
    fps: float
    is_steady: bool
    mode: str

    @property
    def median_s(self) -> float:
        """Median in seconds."""
        return self.quartiles_s[1]


def measure_fps(
    function: Callable[[], object],
    *,
    device: torch.device | str,
    batch_size: int = 1,
    mode: str = "eager",
    warmup_s: float = 1.0,
    min_repeats: int = 10,
    max_repeats: int = 1000,
    max_seconds: float = 30.0,
    tolerance: float = 0.02,
) -> Timing:
    """Calls a function until the median of its time is steady, or the time is up.

    The device is synchronised inside the timed region. The first call never counts, for it may
    compile. After it come at least two timed calls, or one that took ``max_seconds`` by itself.

    Args:
        function: on a fixed input; an end-to-end function includes moving it to the device.
        device: that the function works on.
        batch_size: images a call.
        mode: kept in the result.
        warmup_s: seconds of further calls that do not count, if the second is shorter than that.
        min_repeats: timed calls before the median can count as steady, if time allows.
        max_repeats: timed calls at most.
        max_seconds: for everything after the first call.
        tolerance: steady means that half the width of the median's 95% interval is below this
            share of the median.
    """
    synchronize = _synchronizer(device)

    def timed() -> float:
        start = time.perf_counter()
        function()
        synchronize()
        return time.perf_counter() - start

    synchronize()
    timed()
    start = time.perf_counter()
    last = timed()
    # The first call may have compiled. If the second is long by itself, it is a sample already.
    samples = [last] if last >= warmup_s else []
    while not samples and time.perf_counter() - start < min(warmup_s, max_seconds / 2):
        timed()
    must = 1 if last >= max_seconds else 2
    samples += [timed() for _ in range(must - len(samples))]
    is_steady = False
    while len(samples) < max_repeats and not is_steady:
        if time.perf_counter() - start + statistics.median(samples) > max_seconds:
            break
        samples.append(timed())
        is_steady = len(samples) >= min_repeats and _median_uncertainty(samples) < tolerance
    return _timing(samples, batch_size=batch_size, is_steady=is_steady, mode=mode)


def merge_timings(timings: Sequence[Timing]) -> Timing:
    """Measurements of one call at several times as one: the samples of all, in order.

    Args:
        timings: at least one; batch size and mode are those of the first.
    """
    first = timings[0]
    samples = [sample for timing in timings for sample in timing.samples_s]
    is_steady = all(timing.is_steady for timing in timings)
    return _timing(samples, batch_size=first.batch_size, is_steady=is_steady, mode=first.mode)


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


class PeakMemory:
    """Context manager that measures the peak of memory in use while it is open.

    On CUDA it is what PyTorch's allocator held for tensors at most. Elsewhere it is the resident
    memory of the whole process, Python and libraries included: the kernel's own peak where it can
    be reset (Linux), else samples taken every 10 ms. Both peaks are reset on entry, so two of these
    must not be open at once.

    Args:
        device: that the work runs on.

    Attributes:
        mib: the peak in MiB; while it is open, so far.
        method: how it was measured.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._final: float | None = None
        self._sampled = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.method = ""

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self.method = "torch.cuda.max_memory_allocated"
        elif _reset_process_peak():
            self.method = "peak resident memory of the process (VmHWM)"
        else:
            self.method = "resident memory of the process, sampled every 10 ms"
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
        self._final = self._peak()

    @property
    def mib(self) -> float:
        """The peak in MiB."""
        return self._peak() if self._final is None else self._final

    def _peak(self) -> float:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / _MIB
        if self._thread is not None:
            return max(self._sampled, psutil.Process().memory_info().rss) / _MIB
        return _process_peak_kib() / 1024

    def _sample(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(0.01):
            self._sampled = max(self._sampled, process.memory_info().rss)


def _synchronizer(device: torch.device | str) -> Callable[[], object]:
    device = torch.device(device)
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    if device.type == "mps":
        return torch.mps.synchronize
    return lambda: None


def _timing(samples: list[float], *, batch_size: int, is_steady: bool, mode: str) -> Timing:
    quartiles = _quartiles(samples)
    fps = batch_size / quartiles[1]
    return Timing(tuple(samples), quartiles, batch_size, fps, is_steady, mode)


def _quartiles(samples: list[float]) -> tuple[float, float, float]:
    if len(samples) == 1:
        return (samples[0],) * 3
    first, median, third = statistics.quantiles(samples, n=4, method="inclusive")
    return first, median, third


def _median_uncertainty(samples: list[float]) -> float:
    """Half the width of the median's 95% interval (order statistics), relative to the median."""
    count, ordered = len(samples), sorted(samples)
    reach = 1.96 * math.sqrt(count) / 2
    low = math.floor(count / 2 - reach)
    if low < 1:
        return math.inf
    # The low-th smallest and the low-th largest.
    width = ordered[count - low] - ordered[low - 1]
    return width / 2 / statistics.median(ordered)


def _reset_process_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _process_peak_kib() > 0
    except OSError:
        return False


def _process_peak_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0
