"""Image files: which there are in folders, and their pixels, as Pillow decodes them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from eomtlib.core.errors import ConfigurationError
from eomtlib.data.decoding.names import files_below
from eomtlib.data.decoding.problems import FileError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Of the files of a folder that count as images."""

MAX_PIXELS = 1 << 29
"""Of an image whose size nothing else says: 1.5 GB in RGB."""

# No other formats: Pillow hands some of them to other programs. And not by ``Image.open``, which
# takes a large photograph for a bomb: sizes are looked at here, before anything is decoded.
_READERS: dict[bytes, Callable[[io.BytesIO], Image.Image]] = {
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"RIFF": WebPImagePlugin.WebPImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"II*\0": TiffImagePlugin.TiffImageFile,
    b"MM\0*": TiffImagePlugin.TiffImageFile,
}
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_FITS_BYTES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")


def image_files(paths: Sequence[str | Path], *, subfolders: bool = False) -> list[Path]:
    """The files that are named, and the images in the folders that are named, by name.

    Args:
        paths: files and folders. Hidden files of a folder are passed over, links are followed.
        subfolders: whether those below a folder count; ordered by their paths in it.

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
        names = [name for name in files_below(path) if Path(name).suffix.lower() in SUFFIXES]
        inside = [name for name in names if subfolders or "/" not in name]
        if not inside:
            where = "no image, in no subfolder either" if subfolders else "no image"
            below = f"; subfolders hold {len(names)}" if names else ""
            raise ConfigurationError(
                f"images: {path} holds {where}{below}; looked for {', '.join(SUFFIXES)}."
            )
        found += [path / name for name in inside]
    return found


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
        upright: whether it is turned as its EXIF data say. Annotations of published sets ignore
            them; who draws on a photograph draws on the turned one.
        size: height and width that its annotation gives, if it has one.
        where: how errors name the file; its path where that is given.
        json_name: how errors name the annotation.
        kind: of an error for a damaged file.

    Returns:
        The pixels in the file's own mode.

    Raises:
        FileError: for a damaged file, or one of another size; nothing larger is decoded.
    """
    where, data = where or str(file), _content(file)
    with _named(kind, where, data):
        image = _lazily(data)
        stored, turned = (image.height, image.width), upright and orientation(image)
        shown = stored[::-1] if turned and turned >= 5 else stored
        # Before decoding, so that a bomb is never inflated.
        if size and shown != size:
            what = f"is {_spelled(shown)}"
            if stored != shown:
                what += f", turned by its EXIF orientation {turned} from {_spelled(stored)}"
            advice = "image, PNG and annotation must have one size"
            if stored == size:
                advice = "annotate the turned image, or leave images as stored by exif='ignore'"
            text = f"{what} (height × width), but {json_name} says {_spelled(size)}; {advice}."
            raise FileError("size mismatch", where, text)
        if not size and stored[0] * stored[1] > MAX_PIXELS:
            what = f"is {_spelled(stored)} (height × width), more than {MAX_PIXELS} pixels; cut it."
            raise FileError(kind, where, what)
        image.load()
        return ImageOps.exif_transpose(image) if turned else image


def image_pixels(
    file: str | Path | bytes,
    *,
    upright: bool = False,
    size: tuple[int, int] | None = None,
    where: str = "",
    json_name: str = "",
) -> np.ndarray:
    """The pixels ``[H, W, 3]`` uint8, RGB, writable; arguments and errors as of ``open_image``.

    Of 16 bits the upper 8, rounded: 65535 is white, as the PNG specification has it. Floats and 32
    bits are refused, for nothing says what is white.
    """
    where = where or str(file)
    image = open_image(file, upright=upright, size=size, where=where, json_name=json_name)
    if image.mode in _SIXTEEN_BITS:
        grey = np.round(np.asarray(image) / 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode not in _FITS_BYTES:
        low, high = image.getextrema()
        what = (
            f"holds {'floats' if image.mode == 'F' else 'numbers'} from {low:g} to {high:g} (mode "
            f"{image.mode}), and nothing says which is white; write it with 8 or 16 bits."
        )
        raise FileError("unreadable image", where, what)
    # np.array copies: an array that PIL lends is read-only.
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def image_size(
    file: str | Path | bytes, *, upright: bool = False, where: str = ""
) -> tuple[int, int]:
    """Height and width of an image, without decoding it; arguments as of ``open_image``.

    Raises:
        FileError: when it is none.
    """
    where, data = where or str(file), _content(file)
    with _named("unreadable image", where, data):
        image = _lazily(data)
        across = upright and orientation(image) >= 5
        return (image.width, image.height) if across else (image.height, image.width)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an image, 2 to 8, where it is not stored as it is seen; else 0."""
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(2, 9) else 0


def is_turned(data: bytes) -> bool:
    """Whether a file is stored otherwise than it is seen; False for what cannot be read."""
    try:
        return bool(orientation(_lazily(data)))
    except Exception:  # Pillow's decoders raise many kinds on damaged files.
        return False


def _lazily(data: bytes) -> Image.Image:
    for start, reader in _READERS.items():
        if data.startswith(start):
            return reader(io.BytesIO(data))
    raise ValueError(f"none of {', '.join(SUFFIXES)}")


@contextmanager
def _named(kind: str, where: str, data: bytes) -> Iterator[None]:
    try:
        yield
    except FileError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files.
        what = f"cannot be decoded ({error}), {len(data)} bytes; fetch the file again."
        raise FileError(kind, where, what) from error


def _spelled(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


def _content(file: str | Path | bytes) -> bytes:
    try:
        return file if isinstance(file, bytes) else Path(file).read_bytes()
    except OSError as error:
        what = f"cannot be read ({error.strerror}); fetch the file again."
        raise FileError("unreadable image", str(file), what) from error
