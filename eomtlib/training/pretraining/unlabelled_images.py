"""Unlabelled images: of a folder, or of ``shapes``; and the endless stream of their batches."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from eomtlib.core import console
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.data.decoding.image_files import (
    image_files,
    image_pixels,
    image_size,
)
from eomtlib.data.feed.loaders import TrainStream
from eomtlib.data.feed.resampling import Window, draw_image
from eomtlib.data.feed.transforms import resize_image
from eomtlib.data.sets.shapes import MIN_SIDE, SHAPES_VERSION
from eomtlib.data.sets.shapes_scene import render_scene
from eomtlib.training.pretraining.config import SHAPES, PretrainingConfig

_IN_MEMORY_BYTES = 4 << 30
_MEMORY_SHARE = 0.25
"""Images are kept if they are smaller than this share of the memory that is free, and than that."""
_TRAIN_SPLIT, _NO_SPLIT = 0, 2  # 1 is that of validation

# RandomResizedCrop with MAE's smallest area (Appendix A.1) and torchvision's aspect ratios.
_CROP_AREA = (0.2, 1.0)
_CROP_ASPECT = (3 / 4, 4 / 3)
_STORED = 2
"""Times the image size that a stored image's sides are at least: what the smallest crop needs."""


class UnlabelledImages:
    """Images without segments, read as any ``SegmentationDataset``.

    Those to keep that fit into memory are read once, right away, so a bad file is found before
    training.

    Args:
        sizes: height and width of each.
        draw: position → ``[3, H, W]`` uint8.
        keep: whether they are seen more than once.
        progress: whether a bar is shown while images are read.
    """

    classes: tuple[ClassInfo, ...] = ()

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]],
        draw: Callable[[int], Tensor],
        *,
        keep: bool = True,
        progress: bool = False,
    ) -> None:
        self.sizes = np.array(sizes, np.int32)
        self.image_ids = np.arange(len(sizes))
        self._draw = draw
        num_bytes = 3 * sum(math.prod(size) for size in sizes)
        room = min(_IN_MEMORY_BYTES, _MEMORY_SHARE * psutil.virtual_memory().available)
        if keep and num_bytes <= room:
            bar = console.progress(range(len(self)), "reading images", delay=3, shown=progress)
            self._draw = [draw(index) for index in bar].__getitem__

    def __len__(self) -> int:
        return len(self.sizes)

    def source(self, index: int) -> tuple[int | str, str]:
        """As in ``SegmentationDataset``."""
        return index, str(index)

    def read(self, index: int) -> tuple[Tensor, SegmentMap]:
        """The image ``[3, H, W]`` uint8, and a map of no layer."""
        image = self._draw(index)
        nothing = torch.empty(0, dtype=torch.int64)
        ids = torch.empty((0, *image.shape[1:]), dtype=torch.int16)
        return image, SegmentMap(ids, nothing, nothing.bool())


def open_images(config: PretrainingConfig, *, progress: bool = False) -> UnlabelledImages:
    """The images of a configuration: a folder's, or scenes of ``shapes``.

    Files that are much larger than is needed are made smaller. Of ``shapes`` there are those of its
    training split, and more; without end, new ones that are of neither split.

    Args:
        config: which images, and the size that they are trained on in.
        progress: whether bars are shown when this takes long.

    Raises:
        ConfigurationError: for an image size that ``shapes`` does not come in, or no folder.
        DataError: when the folder holds no image, or a file that is none.
    """
    if config.images != SHAPES:
        paths = _paths(config)
        bar = console.progress(paths, "looking at images", delay=3, shown=progress)
        sizes = [image_size(path) for path in bar]
        stored = [_stored_size(size, config.image_size) for size in sizes]
        files = list(zip(paths, sizes, stored, strict=True))
        return UnlabelledImages(stored, partial(_read_file, files), progress=progress)
    if min(config.image_size) < MIN_SIDE:
        height, width = config.image_size
        raise ConfigurationError(
            f"image_size={height}×{width} is too small for shapes; use at least {MIN_SIDE} pixels."
        )
    split = _TRAIN_SPLIT if config.num_images else _NO_SPLIT
    sizes = [config.image_size] * (config.num_images or config.num_samples)
    draw = partial(_read_scene, split, config.image_size)
    return UnlabelledImages(sizes, draw, keep=config.num_images > 0, progress=progress)


def open_stream(
    config: PretrainingConfig, *, workers: int = 0, progress: bool = False
) -> TrainStream:
    """The endless stream of a configuration's training images.

    Args:
        config: images, batch size and seed.
        workers: loading processes; with none, this process loads.
        progress: whether bars are shown when opening takes long.

    Raises:
        ConfigurationError, DataError: as ``open_images``.
    """
    return TrainStream(
        dataset=open_images(config, progress=progress),
        transform=RandomCrop(config.image_size, whole=config.images == SHAPES),
        batch_size=config.batch_size,
        seed=config.seed,
        num_workers=workers,
    )


def images_digest(config: PretrainingConfig) -> str:
    """What tells one set of images from another: names and lengths of files, not where they lie.

    Raises:
        ConfigurationError: when there is no such folder, or it holds no image.
    """
    if config.images == SHAPES:
        return f"{SHAPES} v{SHAPES_VERSION}, {config.num_images or 'no end of'} images"
    root = Path(config.images).expanduser()
    digest = hashlib.sha256()
    for path in _paths(config):
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class RandomCrop:
    """A random part of an image, resized to one size, and half of them mirrored.

    Attributes:
        size: height and width of the result.
        whole: whether the whole of an image is shown, which has that size.
    """

    size: tuple[int, int]
    whole: bool

    def __call__(
        self, image: Tensor, segments: SegmentMap, generator: torch.Generator, *, canvas: Tensor
    ) -> tuple[Tensor, SegmentMap]:
        """As ``TrainTransform``, but for the segments, which are none."""
        flip = torch.rand((), generator=generator).item() < 0.5
        window = Window(self.size, (0, 0), self.size)
        if not self.whole:
            window = random_window(tuple(image.shape[1:]), self.size, generator)
        draw_image(image.permute(1, 2, 0).numpy(), window, canvas.numpy(), flip=flip)
        return canvas, segments


def random_window(
    original: tuple[int, int], size: tuple[int, int], generator: torch.Generator
) -> Window:
    """A random part of an image, resized to ``size``: area and aspect ratio are drawn.

    Args:
        original: height and width of the image.
        size: of the result.
        generator: on the CPU.
    """
    area, aspect, *places = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    area = (_CROP_AREA[0] + (_CROP_AREA[1] - _CROP_AREA[0]) * area) * math.prod(original)
    low, high = (math.log(ratio * size[1] / size[0]) for ratio in _CROP_ASPECT)
    aspect = math.exp(low + (high - low) * aspect)
    resized, offset = [], []
    parts = (math.sqrt(area / aspect), math.sqrt(area * aspect))
    for side, part, out, place in zip(original, parts, size, places, strict=True):
        # A part that does not fit is cut, so that nothing has to be drawn again.
        whole = max(out, round(side * out / min(part, side)))
        resized.append(whole)
        offset.append(int(place * (whole - out + 1)))
    return Window((resized[0], resized[1]), (offset[0], offset[1]), size)


def _paths(config: PretrainingConfig) -> list[Path]:
    if not Path(config.images).expanduser().is_dir():
        raise ConfigurationError(
            f"images={config.images!r} is no folder; set it to a folder of JPEG or PNG files, or "
            f"to {SHAPES!r} for the embedded data set."
        )
    return image_files([config.images], subfolders=True)


def _read_scene(split: int, size: tuple[int, int], index: int) -> Tensor:
    return torch.from_numpy(render_scene(0, split, index, size).image).permute(2, 0, 1)


def _read_file(
    files: Sequence[tuple[Path, tuple[int, int], tuple[int, int]]], index: int
) -> Tensor:
    path, size, stored = files[index]
    image = image_pixels(path, size=size, json_name="its header, as the run began,")
    return resize_image(torch.from_numpy(image).permute(2, 0, 1), stored)


def _stored_size(size: tuple[int, int], image_size: tuple[int, int]) -> tuple[int, int]:
    needed = (_STORED * a / b for a, b in zip(image_size, size, strict=True))
    scale = min(1.0, max(needed))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
