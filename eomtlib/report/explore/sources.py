"""The images to look at: the first ones of a data set with their targets, or somebody's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.data.dataset import SegmentationDataset
from eomtlib.data.decoding.image_files import image_files, image_pixels
from eomtlib.data.registry import open_dataset
from eomtlib.report.plots.images.named_overlays import Segments
from eomtlib.study.parameters.parsing import read_path, read_split

MAX_SIDE = 1024
"""Longer images of one's own are made smaller: masks of all queries are drawn at their size."""


@dataclass(frozen=True)
class Picture:
    """An image to look at.

    Attributes:
        title: how views and menus call it.
        pixels: ``[H, W, 3]`` uint8.
        target: None where nobody annotated it.
        annotation: what the target shows of, for metrics.
        task: whose target it is.
    """

    title: str
    pixels: np.ndarray
    target: Segments | None = None
    annotation: SegmentMap | None = None
    task: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]


def open_pictures(
    images: str,
    *,
    dataset: str,
    task: str = "",
    data_path: str | Path | None,
    val_data: str = "",
    image_size: tuple[int, int],
    count: int,
) -> tuple[list[Picture], tuple[ClassInfo, ...]]:
    """The pictures that a notebook's parameters ask for, and the classes of the data set.

    Args:
        images: files or a folder, see ``own_pictures``; empty for the first validation images.
        dataset: whose validation images; with ``images`` of one's own it is opened for its classes
            where one of these is given, and else not needed.
        task: whose targets and classes; empty for panoptic.
        data_path: the data set's folder; empty for ``shapes``.
        val_data: of ``custom``, validation images and annotations that lie elsewhere.
        image_size: height and width of the images that ``shapes`` draws.
        count: how many.

    Raises:
        ConfigurationError, DataError: when what is asked for cannot be read.
    """
    if count < 1:
        raise ConfigurationError(f"num_images={count} must be at least 1.")
    if images and not (data_path or val_data):
        return own_pictures(images, count), ()
    # An image of shapes is the same in a set of any size: a few need not be drawn with thousands.
    opened = open_dataset(
        dataset,
        "val",
        task=task or "panoptic",
        data_path=data_path or None,
        files=read_split("val_data", val_data) if val_data else "",
        image_size=image_size,
        train_images=1,
        val_images=count,
    )
    if images:
        return own_pictures(images, count), tuple(opened.classes)
    return val_pictures(opened, count, task=task or "panoptic"), tuple(opened.classes)


def val_pictures(dataset: SegmentationDataset, count: int, *, task: str) -> list[Picture]:
    """The first ``count`` images of a data set, with their targets of a task."""
    pictures = []
    for index in range(min(count, len(dataset))):
        image, segments = dataset.read(index)
        labels = tuple(segments.labels.tolist())
        target = Segments(segments.ids.amax(0).numpy(), labels, dataset.classes)
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        title = f"image {dataset.image_ids[index]}"
        pictures.append(Picture(title, pixels, target, segments, task))
    return pictures


def own_pictures(images: str, count: int) -> list[Picture]:
    """Image files, or the first of a folder.

    Args:
        images: a comma-separated list of files, or a folder. Relative paths are looked for in the
            current folder and then in the project's.
        count: how many of a folder; a list is taken whole.

    Returns:
        Upright as their EXIF data say, and at most ``MAX_SIDE`` pixels long.

    Raises:
        ConfigurationError: when there is no such file or folder, or no image in it.
        DataError: when a file cannot be read as an image.
    """
    hint = "Give image files or a folder; empty for the data set's validation images."
    chosen: list[Path] = []
    for path in given_paths("images", images, hint=hint):
        chosen += image_files([path])[: count if path.is_dir() else 1]
    return [own_picture(path, path.name) for path in chosen]


def own_picture(file: Path | bytes, title: str) -> Picture:
    """An image file, by its path or as its content; see ``own_pictures``."""
    image = Image.fromarray(image_pixels(file, upright=True, where=title))
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    return Picture(title, np.array(image))


def given_paths(name: str, value: str, *, hint: str) -> list[Path]:
    """The files and folders that a notebook's parameter names, separated by commas.

    Args:
        name: of the parameter.
        value: paths, as ``read_path`` takes them.
        hint: what to give instead where one does not exist.

    Raises:
        ConfigurationError: when one does not exist, or none is named.
    """
    paths = [read_path(name, part.strip()) for part in value.split(",") if part.strip()]
    for path in paths:
        if not path.exists():
            raise ConfigurationError(f"{name}={value!r}: {path} does not exist. {hint}")
    if not paths:
        raise ConfigurationError(f"{name}={value!r} names nothing. {hint}")
    return paths
