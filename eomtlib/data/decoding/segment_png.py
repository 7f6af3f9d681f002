"""PNGs that code segment ids as colours (id = R + 256 G + 65536 B), decoded to segment indices.

A PNG row is stored as differences to a prediction from its neighbours (PNG specification, 3rd
edition, section 9), and inside segments these are zero. So a whole colour is predicted at once, and
its channels one by one only at the borders of segments.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from zlib_ng import zlib_ng

from eomtlib.core.structures import VOID
from eomtlib.data.decoding.compiled import compiled
from eomtlib.data.decoding.image_files import open_image
from eomtlib.data.decoding.problems import FileError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLAIN_RGB = bytes((8, 2, 0, 0, 0))
"""The header's last fields: 8 bits, RGB, deflate, the five standard filters, not interlaced."""

_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)


def decode_segments(
    data: bytes, size: tuple[int, int], known: np.ndarray, *, where: str, json_name: str
) -> np.ndarray:
    """Decodes a segment map.

    Args:
        data: the file.
        size: height and width that the annotation file gives.
        known: ``[S]`` int32 ids of the image's segments, without 0, which is void.
        where: how errors name the file.
        json_name: how errors name the annotation file.

    Returns:
        ``[H, W]`` int16 positions in ``known``, −1 for void.

    Raises:
        FileError: for a damaged file, one of another size or mode, or one with unknown ids.
    """
    colours = np.concatenate(([0], known)).astype(np.int32)
    order = np.argsort(colours)
    # Positions of the ids in ascending order; the first is that of void.
    ids, positions = colours[order], (order + VOID).astype(np.int16)
    rows = _inflated_rows(data, size)
    if rows is not None:
        indices = np.empty(size, np.int16)
        if _undo_filters(rows, ids, positions, indices):
            return indices
    # Any other PNG, and whatever is wrong, is left to Pillow: it is slower and says more.
    picture = open_image(data, size=size, where=where, json_name=json_name, kind="unreadable mask")
    if picture.mode != "RGB":
        raise FileError(
            "unreadable mask",
            where,
            f"is a PNG of mode {picture.mode}, but segment ids are coded as 8-bit RGB "
            "(id = R + 256 G + 65536 B); write it as RGB.",
        )
    found, inverse = np.unique(_packed(picture), return_inverse=True)
    strange = np.setdiff1d(found, ids)
    if len(strange):
        raise FileError(
            "unknown id",
            where,
            f"holds the segment id {strange[0]} ({len(strange)} such id(s)), which "
            f"{json_name} does not list for this image; fetch both from the same release.",
        )
    return positions[np.searchsorted(ids, found)][inverse].reshape(size)


def _packed(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(np.int32) @ np.array([1, 256, 65536], np.int32)


def _inflated_rows(data: bytes, size: tuple[int, int]) -> np.ndarray | None:
    """``[H, 1 + 3 W]`` uint8, filtered; None unless the file is as expected and sound."""
    height, width = size
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + _PLAIN_RGB
    if not data.startswith(_SIGNATURE + b"\0\0\0\rIHDR" + header):
        return None
    parts, position, kind = [], len(_SIGNATURE), b""
    while position < len(data) and kind != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if kind == b"IDAT":
            parts.append(data[position + 8 : position + 8 + length])
        position += 12 + length
    inflate, count = zlib_ng.decompressobj(), height * (1 + 3 * width)
    try:
        # No more than the size allows, so that a bomb is never inflated.
        rows = inflate.decompress(b"".join(parts), count + 1)
    except zlib_ng.error:
        return None
    if kind != b"IEND" or len(rows) != count or not inflate.eof:
        return None
    return np.frombuffer(rows, np.uint8).reshape(height, -1)


@compiled
def _undo_filters(
    rows: np.ndarray, ids: np.ndarray, positions: np.ndarray, indices: np.ndarray
) -> bool:
    """Fills in the indices.

    Args:
        rows: ``[H, 1 + 3 W]`` uint8, rows with their filter's number in front.
        ids: ``[1 + S]`` int32, ascending.
        positions: ``[1 + S]`` int16, the index of each id.
        indices: ``[H, W]`` int16, written to.

    Returns:
        Whether all filters and ids are known.
    """
    height, width = indices.shape
    above = np.zeros(width, np.int64)
    for y in range(height):
        kind, left, corner, index = rows[y, 0], np.int64(0), np.int64(0), VOID
        if kind > _PAETH:
            return False
        for x in range(width):
            over, difference = above[x], np.int64(0)
            for channel in range(3):
                difference |= np.int64(rows[y, 1 + 3 * x + channel]) << (8 * channel)
            # Paeth's prediction is the left pixel where the two above are equal, and the one above
            # where the two to the left are; an average is what it is the average of, if equal.
            if difference == 0 and (
                kind == _SUB
                or (kind == _AVERAGE and left == over)
                or (kind == _PAETH and over == corner)
            ):
                colour = left
            elif difference == 0 and (kind == _UP or (kind == _PAETH and left == corner)):
                colour = over
            else:
                colour = np.int64(0)
                for shift in (0, 8, 16):
                    predicted = _prediction(
                        kind, left >> shift & 255, over >> shift & 255, corner >> shift & 255
                    )
                    colour |= ((difference >> shift) + predicted & 255) << shift
            if colour != left or x == 0:
                place = np.searchsorted(ids, colour)
                if place == len(ids) or ids[place] != colour:
                    return False
                index = positions[place]
            indices[y, x] = index
            above[x], left, corner = colour, colour, over
    return True


@compiled
def _prediction(kind: int, a: int, b: int, c: int) -> int:
    """A pixel's channel from those of the pixels to the left, above, and above to the left."""
    if kind == _SUB:
        return a
    if kind == _UP:
        return b
    if kind == _AVERAGE:
        return (a + b) // 2
    if kind == _PAETH:
        to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
        if to_a <= to_b and to_a <= to_c:
            return a
        return b if to_b <= to_c else c
    return 0
