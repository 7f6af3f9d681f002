"""Image files: which there are in folders, and their pixels, exactly as Pillow decodes them.

Ordinary JPEGs go through simplejpeg: it is the same libjpeg-turbo, but Pillow stores four bytes for
a pixel, and getting three out of it costs as much again as decoding.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from eomtlib.core.errors import ConfigurationError
from eomtlib.data.decoding.problems import FileError

DATA_SUFFIXES = (".jpg", ".jpeg", ".png")
"""Of the images of data sets."""

_DATA_FORMATS = ("JPEG", "PNG")

SUFFIXES = (*DATA_SUFFIXES, ".webp", ".bmp", ".tif", ".tiff")
"""Of the files of a folder that count as images."""


def image_files(
    paths: Sequence[str | Path],
    *,
    suffixes: tuple[str, ...] = SUFFIXES,
    subfolders: bool = False,
) -> list[Path]:
    """The files that are named, and the images in the folders that are named, by name.

    Args:
        paths: files and folders. Hidden files and folders of a folder are passed over.
        suffixes: of the files of a folder that count.
        subfolders: whether those below a folder count, links to folders among them; ordered by
            their paths in it.

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
        inside = [
            file
            for file in (_files_below(path) if subfolders else path.iterdir())
            if file.suffix.lower() in suffixes and file.name[0] != "." and file.is_file()
        ]
        if not inside:
            where = "in no subfolder either" if subfolders else "subfolders were not looked into"
            raise ConfigurationError(
                f"images: {path} holds no image ({where}); looked for {', '.join(suffixes)}."
            )
        found += sorted(inside, key=lambda file: file.relative_to(path).as_posix())
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    """Also behind links, a folder that is reached in several ways once; none that is hidden."""
    seen: set[Path] = set()
    for inside, folders, files in os.walk(folder, followlinks=True):
        if (real := Path(inside).resolve()) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name[0] != ".")
        yield from (Path(inside, name) for name in files)


def open_image(
    file: str | Path | bytes,
    *,
    upright: bool = False,
    size: tuple[int, int] | None = None,
    where: str = "",
    json_name: str = "",
    kind: str = "unreadable image",
) -> Image.Image:
    """Decodes a file.

    Args:
        file: its path or its content.
        upright: whether it is turned as its EXIF data says. COCO's annotations ignore them.
        size: height and width that its annotation gives, if it has one; only JPEGs and PNGs are
            read then.
        where: how errors name the file; its path where that is given.
        json_name: how errors name the annotation.
        kind: of an error for a damaged file.

    Returns:
        The pixels in the file's own mode.

    Raises:
        FileError: for a damaged file, or one of another size; nothing larger is decoded.
    """
    where, data = where or str(file), _content(file)
    try:
        image = Image.open(io.BytesIO(data), formats=_DATA_FORMATS if size else None)
        # Before decoding, so that a bomb is never inflated.
        if size and image.size != (size[1], size[0]):
            raise FileError(
                "size mismatch",
                where,
                f"is {image.height} × {image.width} (height × width), but {json_name} says "
                f"{size[0]} × {size[1]}; image, PNG and annotation must have one size.",
            )
        image.load()
        return ImageOps.exif_transpose(image) if upright else image
    except FileError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files.
        # Pillow's own words name an object in memory.
        why = "of no known format" if isinstance(error, UnidentifiedImageError) else error
        raise FileError(
            kind, where, f"cannot be decoded ({why}), {len(data)} bytes; fetch the file again."
        ) from error


def image_pixels(
    file: str | Path | bytes,
    *,
    upright: bool = False,
    size: tuple[int, int] | None = None,
    where: str = "",
    json_name: str = "",
) -> np.ndarray:
    """The pixels ``[H, W, 3]`` uint8, RGB, writable; arguments and errors as of ``open_image``."""
    where, data = where or str(file), _content(file)
    if size and not upright:
        try:
            # Of both, libjpeg makes RGB in one way only; whatever else there is goes to Pillow.
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            if (height, width) == size and colours in ("YCbCr", "Gray"):
                return simplejpeg.decode_jpeg(data, "RGB")
        except ValueError:
            pass  # Pillow reads what libjpeg only warns of, or says what is wrong
    image = open_image(data, upright=upright, size=size, where=where, json_name=json_name)
    # np.array copies: an array that PIL lends is read-only.
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of a JPEG or PNG, without decoding it.

    Raises:
        FileError: when it is none.
    """
    try:
        with Image.open(path, formats=_DATA_FORMATS) as image:
            return image.height, image.width
    except Exception as error:  # as above
        what = f"is no image that can be read ({error}); remove or replace it."
        raise FileError("unreadable image", str(path), what) from error


def _content(file: str | Path | bytes) -> bytes:
    try:
        return file if isinstance(file, bytes) else Path(file).read_bytes()
    except OSError as error:
        what = f"cannot be read ({error.strerror}); fetch the file again."
        raise FileError("unreadable image", str(file), what) from error
