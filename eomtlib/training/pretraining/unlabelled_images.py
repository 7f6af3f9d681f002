"""Unlabelled images: of a folder, or of ``shapes``; and the endless stream of their batches.

What a batch holds depends on (seed, step) and on nothing else, so a resumed run and a run with
other workers see the same images.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import psutil
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.core.randomness import keyed_generator
from eomtlib.data.decoding.image_files import decode_image
from eomtlib.data.feed.loaders import ErrorLoader, SampleOrder, handing_on_errors
from eomtlib.data.feed.resampling import Window, draw_image
from eomtlib.data.sets.shapes import MIN_SIDE, SHAPES_VERSION
from eomtlib.data.sets.shapes_scene import render_scene
from eomtlib.training.pretraining.config import SHAPES, PretrainingConfig

SUFFIXES = (".jpg", ".jpeg", ".png")

_IN_MEMORY_BYTES = 4 << 30
_MEMORY_SHARE = 0.25
"""Images are kept if they are smaller than this share of the memory that is free, and than that."""
_MOST_PIXELS = 1 << 28
"""Of a file that is decoded; a larger one is taken for a mistake or a bomb."""
_TRAIN_SPLIT = 0

# RandomResizedCrop with MAE's smallest area (Appendix A.1) and torchvision's aspect ratios.
_CROP_AREA = (0.2, 1.0)
_CROP_ASPECT = (3 / 4, 4 / 3)
_STORED = 2
"""Times the image size that a stored image's sides are at least: what the smallest crop needs."""


class Source(Protocol):
    """Images by their number.

    Attributes:
        crops: whether a training image is a random part; otherwise it is the whole.
        num_bytes: of all images together.
    """

    crops: bool
    num_bytes: int

    def __len__(self) -> int: ...

    def read(self, index: int) -> np.ndarray:
        """``[H, W, 3]`` uint8, RGB."""


class ShapesImages:
    """Scenes of ``shapes`` without their labels: those of its training split, and more of them.

    Args:
        image_size: height and width.
        count: how many there are.

    Raises:
        ConfigurationError: for an image size that ``shapes`` does not come in.
    """

    crops = False

    def __init__(self, image_size: tuple[int, int], count: int) -> None:
        if min(image_size) < MIN_SIDE:
            raise ConfigurationError(
                f"image_size={image_size[0]}×{image_size[1]} is too small for shapes; use at least "
                f"{MIN_SIDE} pixels."
            )
        self._size, self._count = image_size, count
        self.num_bytes = 3 * count * image_size[0] * image_size[1]

    def __len__(self) -> int:
        return self._count

    def read(self, index: int) -> np.ndarray:
        return render_scene(0, _TRAIN_SPLIT, index, self._size).image


class FolderImages:
    """JPEG and PNG files of a folder, made smaller where they are much larger than is needed.

    Args:
        folder: searched with all its subfolders.
        image_size: height and width of the images that are trained on.
        progress: whether a bar is shown when this takes long.

    Raises:
        ConfigurationError: when there is no such folder.
        DataError: when it holds no image, or a file that is none.
    """

    crops = True

    def __init__(
        self, folder: str | Path, image_size: tuple[int, int], *, progress: bool = False
    ) -> None:
        self._paths = list_images(folder)
        self._image_size = image_size
        bar = tqdm(self._paths, desc="looking at images", delay=3, disable=not progress)
        self._sizes = [_header(path) for path in bar]
        self.num_bytes = sum(3 * math.prod(self._stored_size(size)) for size in self._sizes)

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, index: int) -> np.ndarray:
        path, size = self._paths[index], self._sizes[index]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
        image = decode_image(data, size, where=str(path), json_name="it was when the run began and")
        height, width = self._stored_size(size)
        if (height, width) == size:
            return image
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        return np.array(resized)

    def _stored_size(self, size: tuple[int, int]) -> tuple[int, int]:
        needed = (_STORED * a / b for a, b in zip(self._image_size, size, strict=True))
        scale = min(1.0, max(needed))
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def list_images(folder: str | Path) -> list[Path]:
    """The image files of a folder and its subfolders, sorted by their path inside it.

    Raises:
        ConfigurationError: when there is no such folder.
        DataError: when it holds no image.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ConfigurationError(
            f"images={str(folder)!r} is no folder; set it to a folder of JPEG or PNG files, or to "
            f"{SHAPES!r} for the embedded data set."
        )
    found = [
        path
        for path in root.rglob("*")
        # Hidden ones are what systems leave beside images.
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not found:
        raise DataError(
            f"{root}: holds no image, in no subfolder either; looked for {', '.join(SUFFIXES)}."
        )
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def images_digest(config: PretrainingConfig) -> str:
    """What tells one set of images from another: names and lengths of files, not where they lie.

    Raises:
        ConfigurationError, DataError: as ``list_images``.
    """
    if config.images == SHAPES:
        return f"{SHAPES} v{SHAPES_VERSION}, {config.num_images} images"
    root = Path(config.images).expanduser()
    digest = hashlib.sha256()
    for path in list_images(root):
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def open_images(config: PretrainingConfig, *, progress: bool = False) -> Source:
    """The images of a configuration.

    Raises:
        ConfigurationError, DataError: when they cannot be used.
    """
    if config.images == SHAPES:
        return ShapesImages(config.image_size, config.num_images)
    return FolderImages(config.images, config.image_size, progress=progress)


class ImageStream:
    """The endless stream of training images; ``batch`` gives any step of it.

    Sample n is image ``permutation(seed, n // len)[n % len]``, cropped and mirrored with draws
    keyed by (seed, n); step t holds samples ``t · batch_size`` to ``(t + 1) · batch_size``. Images
    that fit into memory are read once, right away, so a bad file is found before training.

    Args:
        source: the images.
        config: image size, batch size and seed.
        progress: whether a bar is shown while images are read.
    """

    def __init__(
        self, source: Source, config: PretrainingConfig, *, progress: bool = False
    ) -> None:
        self._source, self._config = source, config
        self._order = SampleOrder(len(source), config.seed)
        self._kept: list[np.ndarray] | None = None
        free = psutil.virtual_memory().available
        if source.num_bytes <= min(_IN_MEMORY_BYTES, _MEMORY_SHARE * free):
            bar = tqdm(range(len(source)), desc="reading images", delay=3, disable=not progress)
            self._kept = [source.read(index) for index in bar]

    def batch(self, step: int) -> Tensor:
        """The images of a step, ``[B, 3, H, W]`` uint8."""
        size = self._config.batch_size
        images = torch.empty((size, 3, *self._config.image_size), dtype=torch.uint8)
        for number, canvas in zip(range(step * size, (step + 1) * size), images, strict=True):
            self._draw(number, canvas)
        return images

    def loader(self, *, first_step: int = 0, workers: int = 0) -> Iterator[Tensor]:
        """The batches of steps ``first_step`` to the last.

        Args:
            first_step: where a resumed run goes on.
            workers: loading processes; with none, this process loads.
        """
        return iter(
            ErrorLoader(
                _Steps(self),
                batch_size=None,
                sampler=range(first_step, self._config.steps),
                num_workers=workers,
            )
        )

    def _draw(self, number: int, canvas: Tensor) -> None:
        config = self._config
        index = self._order(number)
        image = self._source.read(index) if self._kept is None else self._kept[index]
        generator = keyed_generator(config.seed, "augmentation", number)
        flip = torch.rand((), generator=generator).item() < 0.5
        window = Window(config.image_size, (0, 0), config.image_size)
        if self._source.crops:
            window = random_window(image.shape[:2], config.image_size, generator)
        draw_image(image, window, canvas.numpy(), flip=flip)


class _Steps(Dataset):
    """The batches of a stream by their step."""

    def __init__(self, stream: ImageStream) -> None:
        self._stream = stream

    @handing_on_errors
    def __getitem__(self, step: int) -> Tensor:
        return self._stream.batch(step)


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
    shown = (math.sqrt(area / aspect), math.sqrt(area * aspect))
    # A part that does not fit is cut, so that nothing has to be drawn again.
    shown = [min(part, side) for part, side in zip(shown, original, strict=True)]
    resized = [
        max(out, round(side * out / part))
        for side, part, out in zip(original, shown, size, strict=True)
    ]
    offset = [
        int(place * (whole - out + 1))
        for place, whole, out in zip(places, resized, size, strict=True)
    ]
    return Window((resized[0], resized[1]), (offset[0], offset[1]), size)


def _header(path: Path) -> tuple[int, int]:
    """Height and width, without decoding."""
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            width, height = image.size
    except Exception as error:  # Pillow raises many kinds on damaged files.
        raise DataError(
            f"{path}: is no image that can be read ({error}); remove it from the folder or fetch "
            "it again."
        ) from error
    if height * width > _MOST_PIXELS:
        raise DataError(f"{path}: {height} × {width} pixels are too many; make it smaller.")
    return height, width
