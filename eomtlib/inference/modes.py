"""The ways in which PyTorch can run a function of images: as written, replayed, compiled.

An eager model launches its kernels one by one, and a fast GPU waits for the next launch. A CUDA
graph is recorded once and launched whole: the GPU's work without the Python that hands it out.
Nothing is fused or compiled then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.words import TIMING_MODES

Output = TypeVar("Output")

# As many as ``torch.cuda.make_graphed_callables`` makes: in their first calls libraries choose
# algorithms and take workspaces.
_WARMUP_CALLS = 3


def in_mode(function: Callable[[Tensor], Output], mode: str) -> Callable[[Tensor], Output]:
    """The same function, run in one of ``words.TIMING_MODES``.

    Raises:
        ConfigurationError: for an unknown mode.
    """
    check_choice("mode", mode, TIMING_MODES)
    if mode == "eager":
        return function
    if mode == "cuda-graph":
        return GraphedCall(function)
    return torch.compile(
        function, fullgraph=True, mode="max-autotune" if mode == "max-autotune" else None
    )


class GraphedCall(Generic[Output]):
    """A function of images, captured at its first call and replayed at every one.

    Inference only, and for the one shape and dtype of the first call. The output is the same object
    in every call, and its tensors are overwritten by the next: copy what must last. Weights may be
    changed in place; tensors that the function keeps elsewhere must stay where they are.

    Under autocast weights are converted in every replay, as they are in compiled code; an eager
    model converts them once, into a cache that would be freed under the graph.

    Args:
        predict: ``images → tensors`` in any structure, on a GPU. What it does is recorded as a list
            of kernels with fixed addresses, so it must not read a value back (``item``, ``cpu``, a
            branch on a tensor, ``nonzero`` and other shapes that depend on values), copy from
            memory that is not page-locked (``torch.tensor(..., device="cuda")``), synchronise, draw
            from a generator of its own, or have effects in Python: those happen once.
    """

    def __init__(self, predict: Callable[[Tensor], Output]) -> None:
        self._predict = predict
        self._graph: torch.cuda.CUDAGraph | None = None
        self._images: Tensor | None = None
        self._output: Output | None = None

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Output:
        """Copies the images to where the graph reads them, and replays it.

        Args:
            images: on the GPU, as in the first call.

        Raises:
            ConfigurationError: for images that are on no GPU, or unlike those of the first call.
        """
        if self._graph is None:
            self._capture(images)
        fixed = self._images
        if _kind(images) != _kind(fixed):
            raise ConfigurationError(
                f"images of {_kind(images)} do not fit a CUDA graph that was captured for "
                f"{_kind(fixed)}; make another GraphedCall."
            )
        fixed.copy_(images)
        self._graph.replay()
        return self._output

    def _capture(self, images: Tensor) -> None:
        if not images.is_cuda:
            raise ConfigurationError(
                f"A CUDA graph needs a GPU, and images are on {images.device}; move them and the "
                "model there, or call the model itself."
            )
        enabled, dtype = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
        without_cache = torch.autocast("cuda", dtype, enabled, cache_enabled=False)
        with torch.cuda.device(images.device), without_cache:
            fixed = images.clone()
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARMUP_CALLS):
                    self._predict(fixed)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                output = self._predict(fixed)
        # Last: a capture that failed leaves nothing behind that looks like one.
        self._images, self._output, self._graph = fixed, output, graph


def _kind(images: Tensor) -> tuple[tuple[int, ...], torch.dtype, torch.device]:
    return tuple(images.shape), images.dtype, images.device
