"""A data set kept in memory, its segment maps in a few large tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from eomtlib.core.structures import SegmentMap
from eomtlib.data.dataset import SegmentationDataset


class PackedMaps(Sequence[SegmentMap]):
    """Segment maps of any sizes and numbers of layers, in three tensors.

    Args:
        maps: in turn; each comes back as a view.
    """

    def __init__(self, maps: Iterable[SegmentMap]) -> None:
        parts = [(part.ids.shape, part.ids.flatten(), part.labels, part.is_crowd) for part in maps]
        self._shapes, ids, labels, is_crowd = zip(*parts, strict=True)
        self._ids, self._labels, self._is_crowd = map(torch.cat, (ids, labels, is_crowd))
        # Where each map begins and ends, among the pixels and among the segments.
        self._pixels, self._segments = (
            np.cumsum([0] + [len(part) for part in parts]).tolist() for parts in (ids, labels)
        )

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, index: int) -> SegmentMap:
        shape = self._shapes[index]
        pixels = slice(*self._pixels[index : index + 2])
        own = slice(*self._segments[index : index + 2])
        return SegmentMap(self._ids[pixels].view(shape), self._labels[own], self._is_crowd[own])


class InMemory:
    """A data set decoded once and kept: for small sets whose files would be read over and over.

    Args:
        dataset: read in full right away.

    Attributes:
        dataset: what was read.
        classes, image_ids, sizes: as in ``SegmentationDataset``.
    """

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.classes, self.image_ids = dataset.classes, dataset.image_ids
        self.sizes = dataset.sizes
        self.dataset, self.skipped = dataset, 0
        self._sources = [dataset.source(index) for index in range(len(dataset))]
        # Large tensors: worker processes share their memory, whichever way they start.
        self._places = np.cumsum([0, *np.prod(self.sizes.astype(np.int64), axis=1)]).tolist()
        self._images = torch.empty((self._places[-1], 3), dtype=torch.uint8)
        self._maps = PackedMaps(self._kept(dataset))

    def _kept(self, dataset: SegmentationDataset) -> Iterator[SegmentMap]:
        for index in range(len(dataset)):
            image, segments = dataset.read(index)
            span = slice(*self._places[index : index + 2])
            self._images[span] = image.permute(1, 2, 0).reshape(-1, 3)
            yield segments

    def __len__(self) -> int:
        return len(self.image_ids)

    def source(self, index: int) -> tuple[int | str, str]:
        """As in ``SegmentationDataset``."""
        return self._sources[index]

    def digest(self) -> str:
        """As in ``SegmentationDataset``."""
        return self.dataset.digest()

    def read(self, index: int) -> tuple[Tensor, SegmentMap]:
        """As in ``SegmentationDataset``; the tensors are views and must not be written to."""
        pixels = self._images[slice(*self._places[index : index + 2])]
        image = pixels.view(*self.sizes[index].tolist(), 3).permute(2, 0, 1)
        return image, self._maps[index]
