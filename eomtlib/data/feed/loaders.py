"""From a data set to batches: an endless stream for training, one pass for evaluation.

What a training sample is depends on its number in the stream and on nothing else, so a resumed run,
a run with other workers and a run on more processes read the same samples.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from eomtlib.core.errors import ConfigurationError, EomtlibError
from eomtlib.core.randomness import keyed_generator
from eomtlib.core.structures import Batch, Sample, SegmentMap
from eomtlib.data.dataset import SegmentationDataset
from eomtlib.data.feed.transforms import EvalTransform, TrainTransform
from eomtlib.data.feed.windows import WindowTransform


class InMemory:
    """A data set decoded once and kept: for small sets whose files would be read over and over.

    Args:
        dataset: read in full right away.

    Attributes:
        classes, image_ids, sizes: as in ``SegmentationDataset``.
    """

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.classes, self.image_ids = dataset.classes, dataset.image_ids
        self.sizes = dataset.sizes
        pixels = np.concatenate(([0], np.cumsum(np.prod(self.sizes.astype(np.int64), axis=1))))
        # A few large tensors: worker processes share their memory, whichever way they start.
        self._pixels = torch.from_numpy(pixels)
        self._images = torch.empty((int(pixels[-1]), 3), dtype=torch.uint8)
        ids, labels, is_crowd = [], [], []
        for index in range(len(dataset)):
            image, segments = dataset.read(index)
            span = slice(pixels[index], pixels[index + 1])
            self._images[span] = image.permute(1, 2, 0).reshape(-1, 3)
            ids.append(segments.ids.reshape(-1))
            labels.append(segments.labels)
            is_crowd.append(segments.is_crowd)
        # A map has as many layers as its segments need.
        self._places, self._segments = (
            torch.cumsum(torch.tensor([0] + [len(part) for part in parts]), 0)
            for parts in (ids, labels)
        )
        self._ids = torch.cat(ids)
        self._labels, self._is_crowd = torch.cat(labels), torch.cat(is_crowd)
        self._stems = [dataset.stem(index) for index in range(len(dataset))]

    def __len__(self) -> int:
        return len(self.image_ids)

    def stem(self, index: int) -> str:
        """As in ``SegmentationDataset``."""
        return self._stems[index]

    def read(self, index: int) -> tuple[Tensor, SegmentMap]:
        """As in ``SegmentationDataset``; the tensors are views and must not be written to."""
        height, width = self.sizes[index].tolist()
        span = slice(*self._pixels[index : index + 2].tolist())
        own = slice(*self._segments[index : index + 2].tolist())
        image = self._images[span].view(height, width, 3).permute(2, 0, 1)
        place = slice(*self._places[index : index + 2].tolist())
        ids = self._ids[place].view(-1, height, width)
        return image, SegmentMap(ids, self._labels[own], self._is_crowd[own])


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
        _check_positive("batch_size", self.batch_size)

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
        _check_positive("steps", steps)
        sampler = _StepSampler(self.batch_size, steps, first_step, rank, world_size)
        samples = _TrainSamples(self, self.batch_size * world_size)
        return _loader(samples, sampler, self.num_workers, self.pin_memory)


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
    _check_positive("batch_size", batch_size)
    count = min(len(dataset), limit or len(dataset))
    own = range(rank, count, world_size)
    batches = [list(own[start : start + batch_size]) for start in range(0, len(own), batch_size)]
    samples = _EvalSamples(dataset, (WindowTransform if in_windows else EvalTransform)(canvas))
    return _loader(samples, batches, num_workers, pin_memory)


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


class SampleOrder:
    """Which image sample n of an endless stream is: ``permutation(seed, n // count)[n % count]``.

    Args:
        count: images.
        seed: another one gives other permutations.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed
        self._epochs: dict[int, Tensor] = {}

    def __call__(self, number: int) -> int:
        epoch, place = divmod(number, self._count)
        if epoch not in self._epochs:
            generator = keyed_generator(self._seed, "order", epoch)
            order = torch.randperm(self._count, generator=generator)
            # Two epochs at most, since a batch may reach into the next.
            self._epochs = {known: o for known, o in self._epochs.items() if known == epoch - 1}
            self._epochs[epoch] = order
        return int(self._epochs[epoch][place])


_Read = TypeVar("_Read")


def handing_on_errors(read: Callable[..., _Read]) -> Callable[..., _Read | EomtlibError]:
    """In a worker, returns our errors as values: PyTorch would wrap them in a traceback."""

    @wraps(read)
    def reading(self: Dataset, numbers: int | list[int]) -> _Read | EomtlibError:
        try:
            return read(self, numbers)
        except EomtlibError as error:
            if get_worker_info() is None:
                raise
            return error

    return reading


class ErrorLoader(DataLoader):
    """Raises the errors that workers hand on, as if they had happened here."""

    def __iter__(self) -> Iterator[Any]:
        for batch in super().__iter__():
            if isinstance(batch, EomtlibError):
                raise batch
            yield batch


class _TrainSamples(Dataset):
    """Sample n of the stream, at any n."""

    def __init__(self, stream: TrainStream, total_batch: int) -> None:
        self._stream, self._total_batch = stream, total_batch
        self._order = SampleOrder(len(stream.dataset), stream.seed)

    @property
    def source(self) -> SegmentationDataset:
        return self._stream.dataset

    @handing_on_errors
    def __getitems__(self, numbers: list[int]) -> Batch:
        # PyTorch asks for whole batches where it can, so images are written where they stay.
        stream = self._stream
        images = torch.empty((len(numbers), 3, *stream.transform.size), dtype=torch.uint8)
        samples = [
            self._sample(number, canvas) for number, canvas in zip(numbers, images, strict=True)
        ]
        return _batch(images, samples, step=numbers[0] // self._total_batch)

    def _sample(self, number: int, canvas: Tensor) -> Sample:
        stream = self._stream
        index = self._order(number)
        image, segments = stream.dataset.read(index)
        size = segments.size
        generator = keyed_generator(stream.seed, "augmentation", number)
        image, segments = stream.transform(image, segments, generator, canvas=canvas)
        return Sample(image, segments, int(stream.dataset.image_ids[index]), number, size)


class _EvalSamples(Dataset):
    def __init__(
        self, dataset: SegmentationDataset, transform: EvalTransform | WindowTransform
    ) -> None:
        self._dataset, self._transform = dataset, transform

    @property
    def source(self) -> SegmentationDataset:
        return self._dataset

    @handing_on_errors
    def __getitems__(self, indices: list[int]) -> Batch:
        samples = [self._sample(index) for index in indices]
        # An image, or its windows.
        images = [sample.image.view(-1, *sample.image.shape[-3:]) for sample in samples]
        return _batch(torch.cat(images), samples)

    def _sample(self, index: int) -> Sample:
        image, segments = self._dataset.read(index)
        image, segments = self._transform(image, segments)
        image_id = int(self._dataset.image_ids[index])
        return Sample(image, segments, image_id, index, segments.size)


class _StepSampler(Sampler):
    """The sample numbers of one process, a list for each step."""

    def __init__(
        self, batch_size: int, steps: int, first_step: int, rank: int, world_size: int
    ) -> None:
        self._batch_size, self._steps, self._first_step = batch_size, steps, first_step
        self._rank, self._world_size = rank, world_size

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self._first_step, self._steps):
            start = (step * self._world_size + self._rank) * self._batch_size
            yield list(range(start, start + self._batch_size))


def _loader(
    samples: _TrainSamples | _EvalSamples,
    batches: Sampler | list[list[int]],
    num_workers: int | None,
    pin_memory: bool,
) -> DataLoader:
    if num_workers is not None and num_workers < 0:
        raise ConfigurationError(f"num_workers={num_workers} must be 0 or more.")
    workers = default_workers(samples.source) if num_workers is None else num_workers
    # In a worker, PyTorch itself limits torch to one thread.
    return ErrorLoader(
        samples,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_pack,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
    )


def _batch(images: Tensor, samples: Sequence[Sample], step: int = 0) -> Batch:
    return Batch(
        images=images,
        segments=tuple(sample.segments for sample in samples),
        image_ids=tuple(sample.image_id for sample in samples),
        indices=tuple(sample.index for sample in samples),
        original_sizes=tuple(sample.original_size for sample in samples),
        step=step,
    )


def _pack(batch: Batch | EomtlibError) -> Batch | _PackedBatch | EomtlibError:
    if get_worker_info() is None or isinstance(batch, EomtlibError):
        return batch
    return _PackedBatch(batch)


class _PackedBatch:
    """A batch on its way out of a worker: four tensors, and a ``Batch`` again when it arrives.

    Each tensor on its way holds a file descriptor, of which a process may have some 1000.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __reduce__(self) -> tuple:
        batch, segments = self._batch, self._batch.segments
        tensors = (
            batch.images,
            torch.cat([part.ids.reshape(-1) for part in segments]),
            torch.cat([part.labels for part in segments]),
            torch.cat([part.is_crowd for part in segments]),
        )
        shapes = [(tuple(part.ids.shape), part.num_segments) for part in segments]
        rest = (batch.image_ids, batch.indices, batch.original_sizes, batch.step)
        return _unpack, (*tensors, shapes, rest)


def _unpack(
    images: Tensor,
    ids: Tensor,
    labels: Tensor,
    is_crowd: Tensor,
    shapes: list[tuple[tuple[int, ...], int]],
    rest: tuple,
) -> Batch:
    maps = ids.split([int(np.prod(shape)) for shape, _ in shapes])
    counts = [count for _, count in shapes]
    segments = tuple(
        SegmentMap(flat.view(shape), own_labels, own_crowd)
        for (shape, _), flat, own_labels, own_crowd in zip(
            shapes, maps, labels.split(counts), is_crowd.split(counts), strict=True
        )
    )
    return Batch(images, segments, *rest)


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ConfigurationError(f"{name}={value} must be at least 1.")
