"""A data set whose samples are kept in memory once they were read."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eomtlib.core.structures import SegmentMap
from eomtlib.data.dataset import SegmentationDataset


class InMemory:
    """For small sets whose files would be decoded over and over.

    Args:
        dataset: that is read from.

    Attributes:
        dataset: as given.
        classes, image_ids, sizes: as in ``SegmentationDataset``.
    """

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.classes, self.image_ids = dataset.classes, dataset.image_ids
        self.sizes = dataset.sizes
        self.dataset, self.skipped = dataset, 0
        self._samples: dict[int, tuple[np.ndarray, SegmentMap]] = {}

    def __len__(self) -> int:
        return len(self.image_ids)

    def source(self, index: int) -> tuple[int | str, str]:
        """As in ``SegmentationDataset``."""
        return self.dataset.source(index)

    def digest(self) -> str:
        """As in ``SegmentationDataset``."""
        return self.dataset.digest()

    def read(self, index: int) -> tuple[Tensor, SegmentMap]:
        """As in ``SegmentationDataset``; the tensors must not be written to."""
        if index not in self._samples:
            image, segments = self.dataset.read(index)
            # An array, as each tensor that goes to a worker holds a file descriptor.
            self._samples[index] = image.numpy(), segments
        image, segments = self._samples[index]
        return torch.from_numpy(image), segments
