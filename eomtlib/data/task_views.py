"""A panoptic data set seen as one of another task: segments merged by class, or things alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eomtlib.core.errors import DataError
from eomtlib.core.structures import VOID, SegmentMap
from eomtlib.data.dataset import SegmentationDataset
from eomtlib.data.formats.class_masks import by_class


class SemanticView:
    """A data set whose segments of one class are one segment; see ``as_semantic``."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset = dataset
        self.classes = dataset.classes
        self.image_ids, self.sizes = dataset.image_ids, dataset.sizes

    def __len__(self) -> int:
        return len(self.dataset)

    def stem(self, index: int) -> str:
        """As in ``SegmentationDataset``."""
        return self.dataset.stem(index)

    def read(self, index: int) -> tuple[Tensor, SegmentMap]:
        """As in ``SegmentationDataset``; segments in the order of the classes."""
        image, segments = self.dataset.read(index)
        if len(segments.ids) != 1:
            raise DataError(
                f"image {self.image_ids[index]}: its segments overlap, so a pixel may be of "
                "several classes; choose task='instance', or give panoptic annotations."
            )
        class_of = np.append(segments.labels.numpy(), VOID).astype(np.int16)
        return image, by_class(class_of[segments.ids[0].numpy()], len(self.classes))


class ThingsView:
    """A data set without its stuff; see ``as_instances``."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset = dataset
        self.image_ids, self.sizes = dataset.image_ids, dataset.sizes
        is_thing = np.array([info.is_thing for info in dataset.classes], bool)
        self.classes = tuple(info for info in dataset.classes if info.is_thing)
        # New class index of each, where it is a thing.
        self._index = np.where(is_thing, np.cumsum(is_thing) - 1, VOID)

    def __len__(self) -> int:
        return len(self.dataset)

    def stem(self, index: int) -> str:
        """As in ``SegmentationDataset``."""
        return self.dataset.stem(index)

    def read(self, index: int) -> tuple[Tensor, SegmentMap]:
        """As in ``SegmentationDataset``; things in the order that they have there."""
        image, segments = self.dataset.read(index)
        labels = self._index[segments.labels.numpy()]
        kept = labels != VOID
        numbers = np.append(np.where(kept, np.cumsum(kept) - 1, VOID), VOID).astype(np.int16)
        return image, SegmentMap(
            ids=torch.from_numpy(numbers[segments.ids.numpy()]),
            labels=torch.from_numpy(labels[kept]),
            is_crowd=segments.is_crowd[torch.from_numpy(kept)],
        )


def as_semantic(dataset: SegmentationDataset) -> SemanticView:
    """The semantic task of a panoptic data set: one segment for each class that an image shows.

    Crowds are of their class like any other segment. Reading raises ``DataError`` where segments
    overlap.
    """
    return SemanticView(dataset)


def as_instances(dataset: SegmentationDataset) -> ThingsView:
    """The instance task of a panoptic data set: its things, in classes numbered anew."""
    return ThingsView(dataset)
