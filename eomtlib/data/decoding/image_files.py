"""Image files to pixels, exactly as Pillow decodes them, and one error for all that can be wrong.

Ordinary JPEGs go through simplejpeg: it is the same libjpeg-turbo, but Pillow stores four bytes for
a pixel, and getting three out of it costs as much again as decoding.
"""

from __future__ import annotations

import io

import numpy as np
import simplejpeg
from PIL import Image

from eomtlib.data.decoding.problems import FileError


def decode_image(data: bytes, size: tuple[int, int], *, where: str, json_name: str) -> np.ndarray:
    """Decodes a JPEG or PNG.

    Args:
        data: the file.
        size: height and width that the annotation gives.
        where: how errors name the file.
        json_name: how errors name the annotation.

    Returns:
        ``[H, W, 3]`` uint8, RGB, writable.

    Raises:
        FileError: for a damaged file, or one of another size; nothing larger is decoded.
    """
    try:
        # Of both, libjpeg makes RGB in one way only; whatever else there is goes to Pillow.
        if _jpeg_header(data) in ((*size, "YCbCr"), (*size, "Gray")):
            return simplejpeg.decode_jpeg(data, "RGB")
    except ValueError:
        pass  # Pillow reads what it can of a file that libjpeg only warns of, or says what is wrong
    image = open_picture(data, size, where=where, json_name=json_name)
    # np.array copies: an array that PIL lends is read-only.
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _jpeg_header(data: bytes) -> tuple[int, int, str]:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    return height, width, colours


def open_picture(
    data: bytes,
    size: tuple[int, int],
    *,
    where: str,
    json_name: str,
    kind: str = "unreadable image",
) -> Image.Image:
    """Decodes with Pillow; arguments and errors are those of ``decode_image``.

    ``kind`` is the one of an error for a damaged file.
    """
    # Pixels as they are stored: COCO's annotations ignore EXIF orientation, and so do we.
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        # Before decoding, so that a bomb is never inflated.
        if image.size != (size[1], size[0]):
            raise FileError(
                "size mismatch",
                where,
                f"is {image.height} × {image.width} (height × width), but {json_name} says "
                f"{size[0]} × {size[1]}; image, PNG and annotation must have one size.",
            )
        image.load()
    except FileError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files.
        raise FileError(
            kind, where, f"cannot be decoded ({error}), {len(data)} bytes; fetch the file again."
        ) from error
    return image
