"""Image files that somebody names, without annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from eomtlib.core.errors import ConfigurationError, DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Of the files of a folder that count as images."""


def image_files(paths: Sequence[str | Path]) -> list[Path]:
    """The files that are named, and those in the folders that are named, by name.

    Raises:
        ConfigurationError: when something does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in (Path(path).expanduser() for path in paths):
        if path.is_file():
            found.append(path)
            continue
        if not path.is_dir():
            raise ConfigurationError(f"images: {path} does not exist; give files or a folder.")
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not inside:
            raise ConfigurationError(
                f"images: the folder {path} holds no image ({', '.join(SUFFIXES)})."
            )
        found += inside
    return found


def open_image(path: Path) -> Image.Image:
    """An image as it is meant to be seen, in RGB: turned as its EXIF data says.

    Raises:
        DataError: when the file cannot be read as an image.
    """
    try:
        with Image.open(path) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files.
        raise DataError(f"images: {path} cannot be read as an image ({error}).") from error


def open_pixels(path: Path) -> np.ndarray:
    """``open_image`` as ``[H, W, 3]`` uint8."""
    return np.array(open_image(path))
