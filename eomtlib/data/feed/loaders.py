"""From a data set to batches: an endless stream for training, one pass for evaluation.

What a training sample is depends on its number in the stream and on nothing else, so a resumed run,
a run with other workers and a run on more processes read the same samples.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from eomtlib.core.errors import ConfigurationError, EomtlibError, check_ranges
from eomtlib.core.randomness import keyed_generator
from eomtlib.core.structures import Batch, SegmentMap
from eomtlib.data.dataset import SegmentationDataset
from eomtlib.data.feed.in_memory import InMemory
from eomtlib.data.feed.transforms import EvalTransform, TrainTransform
from eomtlib.data.feed.windows import WindowTransform

_SHARED_MEMORY = "/dev/shm"
_ROOM_FOR_BATCHES = 1 << 30
_BATCHES_AHEAD = 2  # of each process, as PyTorch has it
_BYTES_PER_PIXEL = 3  # of images alone; maps go another way


@dataclass(frozen=True, kw_only=True)
class TrainStream:
    """The endless stream of training samples; ``loader`` cuts a run's steps out of it.

    Sample n of the stream is image ``permutation(seed, n // len)[n % len]``, augmented with draws
    keyed by (seed, n). Step t holds samples ``t · total`` to ``(t + 1) · total``, with ``total``
    the batch size over all processes.

    Attributes:
        dataset: at least one image.
        transform: how an image is augmented.
        batch_size: on each process.
        seed: of the order and of the augmentation.
        num_workers: loading processes; None for ``default_workers``.
        pin_memory: whether batches come in page-locked memory, for a GPU.
    """

    dataset: SegmentationDataset
    transform: TrainTransform
    batch_size: int
    seed: int
    num_workers: int | None = None
    pin_memory: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, batch_size="[1, inf)")

    def loader(
        self, *, steps: int, first_step: int = 0, rank: int = 0, world_size: int = 1
    ) -> DataLoader:
        """The batches of steps ``first_step`` to ``steps``.

        Args:
            steps: of the whole run; also the loader's length, so that progress bars agree.
            first_step: where a resumed run goes on.
            rank: of this process.
            world_size: number of processes.

        Returns:
            An iterable of ``Batch``, with ``step`` set and ``indices`` the sample numbers n.
        """
        if steps < 1:
            raise ConfigurationError(f"steps={steps} must be at least 1.")
        read = partial(self._batch, rank=rank, world_size=world_size)
        keys = _Steps(first_step, steps)
        pixels = self.batch_size * math.prod(self.transform.size)
        workers = _workers(self.dataset, self.num_workers, pixels=pixels)
        return _loader(keys, read, workers, self.pin_memory)

    def _batch(self, step: int, *, rank: int, world_size: int) -> Batch:
        start = (step * world_size + rank) * self.batch_size
        numbers = range(start, start + self.batch_size)
        indices = [shuffled(number, len(self.dataset), self.seed) for number in numbers]
        # Images are written where they stay.
        images = torch.empty((self.batch_size, 3, *self.transform.size), dtype=torch.uint8)
        segments = []
        for number, index, canvas in zip(numbers, indices, images, strict=True):
            generator = keyed_generator(self.seed, "augmentation", number)
            drawn = self.transform(*self.dataset.read(index), generator, canvas=canvas)
            segments.append(drawn[1])
        batch = _batch(self.dataset, indices, images, segments)
        return replace(batch, indices=tuple(numbers), step=step)


def eval_loader(
    dataset: SegmentationDataset,
    *,
    canvas: tuple[int, int],
    batch_size: int = 1,
    num_workers: int | None = None,
    limit: int | None = None,
    pin_memory: bool = False,
    rank: int = 0,
    world_size: int = 1,
    in_windows: bool = False,
) -> DataLoader:
    """One pass in the data set's order: images as models see them, segments at full size.

    Args:
        dataset: what to evaluate on.
        canvas: height and width of the images, which are fitted into it.
        batch_size: on this process.
        num_workers: loading processes; None for ``default_workers``.
        limit: how many images, from the first on; None or 0 for all.
        pin_memory: whether batches come in page-locked memory.
        rank: of this process, which reads every ``world_size``-th image.
        world_size: number of processes.
        in_windows: whether images are cut into windows of the canvas's size instead, as the
            evaluation of semantic segmentation wants them.

    Returns:
        An iterable of ``Batch``, with ``indices`` the positions in the data set, and with the
        windows of its images one after the other.
    """
    if limit is not None and limit < 0:
        raise ConfigurationError(f"limit={limit} must be at least 0; 0 for all images.")
    count = min(len(dataset), limit or len(dataset))
    own = range(rank, count, world_size)
    batches = [own[start : start + batch_size] for start in range(0, len(own), batch_size)]
    transform = (WindowTransform if in_windows else EvalTransform)(canvas)
    read = partial(_eval_batch, dataset, transform)
    largest = int(np.prod(dataset.sizes.astype(np.int64), axis=1).max(initial=0))
    pixels = batch_size * max(largest, math.prod(canvas))
    return _loader(batches, read, _workers(dataset, num_workers, pixels=pixels), pin_memory)


def default_workers(dataset: SegmentationDataset) -> int:
    """Loading processes for a data set: none where samples come from memory, else cores − 1.

    A sample from memory costs less than handing it from one process to another.
    """
    if isinstance(dataset, InMemory):
        return 0
    # Schedulers give a job fewer cores than the machine has.
    on_linux = sys.platform == "linux"
    cores = len(os.sched_getaffinity(0)) if on_linux else (os.cpu_count() or 1)
    return min(8, cores - 1)


def shuffled(number: int, count: int, seed: int) -> int:
    """Which of ``count`` images sample n of an endless stream is: each once before any again.

    It is ``permutation(seed, n // count)[n % count]``.
    """
    epoch, place = divmod(number, count)
    return int(_order(count, seed, epoch)[place])


# A batch may reach into the next epoch.
@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=keyed_generator(seed, "order", epoch))


def shared_memory_remark() -> str:
    """What is to be said of ``/dev/shm``, through which batches come; empty where it is large."""
    try:
        room = shutil.disk_usage(_SHARED_MEMORY).total
    except OSError:
        return ""
    if room >= _ROOM_FOR_BATCHES:
        return ""
    return (
        f"{_SHARED_MEMORY} has {room >> 20} MiB, through which loading processes hand over "
        "batches: in a container set --shm-size=8g, or workers to 0"
    )


def read_in_order(
    dataset: SegmentationDataset,
    keys: Collection[Any],
    read: Callable[[Any], Any],
    num_workers: int | None = None,
) -> Iterable[Any]:
    """What a function reads for each of some keys, in several processes.

    Args:
        dataset: that is read from, which decides how many processes.
        keys: arguments of ``read``.
        read: its results are sent from one process to another.
        num_workers: processes; None for ``default_workers``.
    """
    workers = default_workers(dataset) if num_workers is None else num_workers
    return DataLoader(
        _Calls(read), batch_size=None, sampler=keys, num_workers=workers, collate_fn=_as_it_is
    )


class _Calls(Dataset):
    def __init__(self, read: Callable[[Any], Any]) -> None:
        self._read = read

    def __getitem__(self, key: Any) -> Any:
        return self._read(key)


def _as_it_is(value: Any) -> Any:
    return value


def _workers(dataset: SegmentationDataset, given: int | None, *, pixels: int) -> int:
    """Loading processes for batches of so many pixels, which come through shared memory.

    Raises:
        ConfigurationError: where so many were given, and their batches would not fit into it.
    """
    if given is not None and given < 0:
        raise ConfigurationError(f"num_workers={given} must be 0 or more.")
    workers = default_workers(dataset) if given is None else given
    need = workers * _BATCHES_AHEAD * pixels * _BYTES_PER_PIXEL
    try:
        room = shutil.disk_usage(_SHARED_MEMORY).free
    except OSError:
        return workers
    if need <= room:
        return workers
    said = (
        f"{workers} loading process(es) hand over up to {need >> 20} MiB at a time through "
        f"{_SHARED_MEMORY}, which has {room >> 20} MiB"
    )
    if given is not None:
        raise ConfigurationError(
            f"workers={given}: {said}. Set workers to 0, or give the container more "
            "(docker run --shm-size=8g)."
        )
    warnings.warn(f"{said}; images are loaded without.", stacklevel=3)
    return 0


def _loader(
    keys: Collection[Any], read: Callable[[Any], Batch], workers: int, pin_memory: bool
) -> DataLoader:
    """The batches that a function reads for each of the keys, in their order."""
    # In a worker, PyTorch itself limits torch to one thread.
    return _RaisingLoader(
        _Reads(read),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
    )


class _Reads(Dataset):
    """A function as a data set; in a worker our errors are values, which PyTorch leaves alone."""

    def __init__(self, read: Callable[[Any], Batch]) -> None:
        self._read = read

    def __getitem__(self, key: Any) -> Batch | EomtlibError:
        try:
            return self._read(key)
        except EomtlibError as error:
            if get_worker_info() is None:
                raise
            return error


class _RaisingLoader(DataLoader):
    """Raises what went wrong in workers as if it had happened here."""

    def __iter__(self) -> Iterator[Batch]:
        batches = super().__iter__()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (RuntimeError, EOFError, OSError) as error:
                # What fails within a process says so; else one is gone, with or without its batch.
                of_process = "DataLoader worker (pid" in str(error)
                if not of_process and (isinstance(error, RuntimeError) or "Caught" in str(error)):
                    raise
                raise EomtlibError(
                    f"a loading process ended ({error}), as where memory runs out. Set workers to "
                    "a smaller number, and run again to go on."
                ) from error
            if isinstance(batch, EomtlibError):
                raise batch
            yield batch


class _Steps:
    """The steps that are left of a run, as long as the whole run."""

    def __init__(self, first: int, steps: int) -> None:
        self._first, self._steps = first, steps

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._first, self._steps))


def _eval_batch(
    dataset: SegmentationDataset,
    transform: EvalTransform | WindowTransform,
    indices: Sequence[int],
) -> Batch:
    images, segments = zip(*(dataset.read(index) for index in indices), strict=True)
    # An image, or its windows.
    views = [view.view(-1, *view.shape[-3:]) for view in map(transform.fit, images)]
    return _batch(dataset, indices, torch.cat(views), segments)


def _batch(
    dataset: SegmentationDataset,
    indices: Sequence[int],
    images: Tensor,
    segments: Sequence[SegmentMap],
) -> Batch:
    return Batch(
        images=images,
        segments=tuple(segments),
        image_ids=tuple(int(dataset.image_ids[index]) for index in indices),
        indices=tuple(indices),
        original_sizes=tuple(tuple(dataset.sizes[index].tolist()) for index in indices),
    )
