"""The data sets by name. A new one is a new entry: a function from a split to a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from eomtlib.data.coco import CocoPanoptic
from eomtlib.data.dataset import SPLITS, PanopticDataset
from eomtlib.data.loading import InMemory
from eomtlib.data.shapes import ensure_shapes
from eomtlib.errors import ConfigurationError, check_choice

_IN_MEMORY_BYTES = 512 << 20
_BYTES_PER_PIXEL = 5  # three of colour, two of segment index


class Builder(Protocol):
    """Opens one split; a builder ignores the options that mean nothing to its data set."""

    def __call__(
        self,
        split: str,
        *,
        data_path: Path | None,
        image_size: tuple[int, int] | None,
        train_images: int,
        val_images: int,
    ) -> PanopticDataset:
        """Opens one split."""


def open_dataset(
    name: str,
    split: str,
    *,
    data_path: str | Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    train_images: int = 2000,
    val_images: int = 200,
) -> PanopticDataset:
    """Opens a split of a data set.

    Args:
        name: a key of ``DATASETS``.
        split: ``train`` or ``val``.
        data_path: the folder that holds the files; for ``shapes``, where generated sets are kept.
        image_size: of the images that ``shapes`` generates; None for 64.
        train_images: how many ``shapes`` generates for training.
        val_images: how many ``shapes`` generates for evaluation.

    Raises:
        ConfigurationError: for an unknown name or split, or a missing ``data_path``.
        DataError: when the files cannot be used.
    """
    check_choice("dataset", name, DATASETS)
    check_choice("split", split, SPLITS)
    return DATASETS[name](
        split,
        data_path=None if data_path is None else Path(data_path).expanduser(),
        image_size=(image_size, image_size) if isinstance(image_size, int) else image_size,
        train_images=train_images,
        val_images=val_images,
    )


def _open_shapes(
    split: str,
    *,
    data_path: Path | None,
    image_size: tuple[int, int] | None,
    train_images: int,
    val_images: int,
) -> PanopticDataset:
    root = ensure_shapes(
        data_path,
        image_size=image_size or 64,
        train_images=train_images,
        val_images=val_images,
    )
    dataset = CocoPanoptic(root, split)
    pixels = int(np.prod(dataset.sizes.astype(np.int64), axis=1).sum())
    return InMemory(dataset) if pixels * _BYTES_PER_PIXEL <= _IN_MEMORY_BYTES else dataset


def _open_coco(
    split: str,
    *,
    data_path: Path | None,
    image_size: tuple[int, int] | None,
    train_images: int,
    val_images: int,
) -> PanopticDataset:
    del image_size, train_images, val_images
    if data_path is None:
        raise ConfigurationError(
            "data_path is not set, and dataset='coco' needs it: download train2017.zip, "
            "val2017.zip and panoptic_annotations_trainval2017.zip from "
            "https://cocodataset.org/#download into one folder (no need to unzip), and set "
            "data_path to it."
        )
    return CocoPanoptic(data_path, split)


DATASETS: dict[str, Builder] = {"shapes": _open_shapes, "coco": _open_coco}
