"""A panoptic data set seen as one of another task: segments merged by class, or things alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from eomtlib.core.errors import DataError
from eomtlib.core.structures import VOID, ClassInfo, SegmentMap
from eomtlib.data.dataset import SegmentationDataset
from eomtlib.data.formats.class_masks import by_class


class TaskView:
    """A data set whose segments are changed when they are read.

    Args:
        dataset: the data set.
        classes: of the changed segments.
        change: makes them of the data set's own; sent to workers.

    Attributes:
        classes, image_ids, sizes: as in ``SegmentationDataset``.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        classes: tuple[ClassInfo, ...],
        change: Callable[[SegmentMap], SegmentMap],
    ) -> None:
        self.dataset, self.classes, self._change = dataset, classes, change
        self.image_ids, self.sizes = dataset.image_ids, dataset.sizes

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def skipped(self) -> int:
        """As in ``SegmentationDataset``."""
        return self.dataset.skipped

    def source(self, index: int) -> tuple[int | str, str]:
        """As in ``SegmentationDataset``."""
        return self.dataset.source(index)

    def digest(self) -> str:
        """Of the data set whose segments these are."""
        return self.dataset.digest()

    def read(self, index: int) -> tuple[Tensor, SegmentMap]:
        """As in ``SegmentationDataset``."""
        image, segments = self.dataset.read(index)
        try:
            return image, self._change(segments)
        except DataError as error:
            raise DataError(f"image {self.image_ids[index]}: {error}") from error


def as_semantic(dataset: SegmentationDataset) -> TaskView:
    """The semantic task of a panoptic data set: one segment for each class that an image shows.

    Segments are in the order of the classes; crowds are of their class like any other. Reading
    raises ``DataError`` where segments overlap.
    """
    return TaskView(dataset, dataset.classes, partial(_merged, len(dataset.classes)))


def as_instances(dataset: SegmentationDataset) -> TaskView:
    """The instance task of a panoptic data set: its things in their order, in new classes."""
    is_thing = np.array([info.is_thing for info in dataset.classes], bool)
    classes = tuple(info for info in dataset.classes if info.is_thing)
    # New class index of each, where it is a thing.
    numbers = np.where(is_thing, np.cumsum(is_thing) - 1, VOID)
    return TaskView(dataset, classes, partial(_things, numbers))


def in_order_of(
    dataset: SegmentationDataset, classes: tuple[ClassInfo, ...]
) -> SegmentationDataset:
    """A data set of the same classes in another order, in that order.

    Raises:
        DataError: naming the classes that one of them lacks.
    """
    if dataset.classes == classes:
        return dataset
    lacking = [info for info in dataset.classes if info not in classes]
    foreign = [info for info in classes if info not in dataset.classes]
    if lacking or foreign:
        said = [
            f"{name} alone has {', '.join(f'{c.name!r} (id {c.category_id})' for c in own)}"
            for name, own in (("training", foreign), ("validation", lacking))
            if own
        ]
        raise DataError(
            f"training and validation list other classes: {'; '.join(said)}. Name, id and isthing "
            "of each must be the same in both."
        )
    numbers = torch.tensor([classes.index(info) for info in dataset.classes])
    return TaskView(dataset, classes, partial(_renumbered, numbers))


def _renumbered(numbers: Tensor, segments: SegmentMap) -> SegmentMap:
    return replace(segments, labels=numbers[segments.labels])


def _merged(num_classes: int, segments: SegmentMap) -> SegmentMap:
    if len(segments.ids) != 1:
        raise DataError(
            "its segments overlap, so a pixel may be of several classes; choose task='instance', "
            "or give panoptic annotations."
        )
    class_of = np.append(segments.labels.numpy(), VOID).astype(np.int16)
    return by_class(class_of[segments.ids[0].numpy()], num_classes)


def _things(class_numbers: np.ndarray, segments: SegmentMap) -> SegmentMap:
    labels = class_numbers[segments.labels.numpy()]
    kept = labels != VOID
    numbers = np.append(np.where(kept, np.cumsum(kept) - 1, VOID), VOID).astype(np.int16)
    return SegmentMap(
        ids=torch.from_numpy(numbers[segments.ids.numpy()]),
        labels=torch.from_numpy(labels[kept]),
        is_crowd=segments.is_crowd[torch.from_numpy(kept)],
    )
