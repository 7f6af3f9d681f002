"""PNGs that code segment ids as colours (id = R + 256 G + 65536 B), decoded to segment indices.

A PNG row is stored as differences to a prediction from its neighbours (PNG specification, 3rd
edition, section 9), and inside segments these are zero. So indices are predicted in place of
colours, and colours are made only where a difference is not zero: at the borders of segments.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from zlib_ng import zlib_ng

from eomtlib.core.structures import VOID
from eomtlib.data.decoding.compiled import compiled
from eomtlib.data.decoding.image_files import open_picture
from eomtlib.data.decoding.problems import FileError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLAIN_RGB = bytes((8, 2, 0, 0, 0))
"""The header's last fields: 8 bits, RGB, deflate, the five standard filters, not interlaced."""

_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)
_UNKNOWN = VOID - 1


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
    rows = _inflated_rows(data, size)
    if rows is not None:
        words = rows[: len(rows) // 8 * 8].view(np.uint64)
        colours = np.concatenate(([0], known)).astype(np.int32)
        indices = np.empty(size, np.int16)
        if _undo_filters(rows, words, colours, _hash_table(colours), indices):
            return indices
    # Any other PNG, and whatever is wrong, is left to Pillow: it is slower and says more.
    picture = open_picture(data, size, where=where, json_name=json_name, kind="unreadable mask")
    if picture.mode != "RGB":
        raise FileError(
            "unreadable mask",
            where,
            f"is a PNG of mode {picture.mode}, but segment ids are coded as 8-bit RGB "
            "(id = R + 256 G + 65536 B); write it as RGB.",
        )
    return _look_up(picture, known, where, json_name)


def _inflated_rows(data: bytes, size: tuple[int, int]) -> np.ndarray | None:
    """``[H · (1 + 3 W)]`` uint8, filtered; None unless the file is as expected and sound."""
    height, width = size
    header = len(_SIGNATURE) + 8
    expected = height.to_bytes(4, "big"), width.to_bytes(4, "big")
    if data[:header] != _SIGNATURE + b"\0\0\0\rIHDR" or (
        data[header : header + 13] != expected[1] + expected[0] + _PLAIN_RGB
    ):
        return None
    parts, position, kind = [], len(_SIGNATURE), b""
    while position < len(data) and kind != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if kind == b"IDAT":
            parts.append(data[position + 8 : position + 8 + length])
        position += 12 + length
    if kind != b"IEND":
        return None
    inflate, count = zlib_ng.decompressobj(), height * (1 + 3 * width)
    try:
        # No more than the size allows, so that a bomb is never inflated.
        rows = inflate.decompress(b"".join(parts), count + 1)
    except zlib_ng.error:
        return None
    if len(rows) != count or not inflate.eof:
        return None
    return np.frombuffer(rows, np.uint8)


@compiled
def _undo_filters(
    data: np.ndarray,
    words: np.ndarray,
    colours: np.ndarray,
    table: np.ndarray,
    indices: np.ndarray,
) -> bool:
    """Fills in the indices.

    Args:
        data: ``[H · (1 + 3 W)]`` uint8, rows with their filter's number in front.
        words: the same bytes eight at a time, without a rest of up to seven.
        colours: ``[1 + S]`` int32, the id of index −1, which is 0, and of all others.
        table: from ``_hash_table``.
        indices: ``[H, W]`` int16, written to.

    Returns:
        Whether all filters and ids are known.
    """
    height, width = indices.shape
    above = np.full(width, VOID, np.int16)
    for y in range(height):
        start = y * (1 + 3 * width) + 1
        kind, line = data[start - 1], indices[y]
        if kind > _PAETH:
            return False
        if kind == _UP:
            line[:] = above
        x, left = 0, VOID
        while x < width:
            changed = _next_nonzero(data, words, start + 3 * x, start + 3 * width)
            stop = (changed - start) // 3
            corner = np.int64(above[x - 1]) if x else VOID
            left = _extend(kind, line[x:stop], above[x:stop], left, corner, colours, table)
            if left == _UNKNOWN:
                return False
            x = stop
            if x < width:
                difference = 0
                for channel in range(3):
                    difference |= np.int64(data[start + 3 * x + channel]) << (8 * channel)
                corner = np.int64(above[x - 1]) if x else VOID
                left = _index(difference, kind, left, above[x], corner, colours, table)
                if left == _UNKNOWN:
                    return False
                line[x] = left
                x += 1
        above = line
    return True


@compiled
def _next_nonzero(data: np.ndarray, words: np.ndarray, start: int, stop: int) -> int:
    """The position of the next byte other than 0 from ``start`` on, or ``stop``."""
    position = start
    while position < stop:
        if position & 7 == 0:
            # Unsigned, which spares Numba the question whether it counts from the end.
            word = np.uint64(position >> 3)
            while position + 8 <= stop and words[word] == 0:
                position += 8
                word += np.uint64(1)
            if position >= stop:
                break
        if data[position]:
            return position
        position += 1
    return stop


@compiled
def _extend(
    kind: int,
    line: np.ndarray,
    above: np.ndarray,
    left: int,
    corner: int,
    colours: np.ndarray,
    table: np.ndarray,
) -> int:
    """Fills in pixels that are as predicted; with ``_UP`` they are filled in already.

    Returns:
        The last one's index, ``left`` if there is none, ``_UNKNOWN`` for an unknown id.
    """
    if len(line) == 0:
        return left
    if kind == _UP:
        return np.int64(line[-1])
    if kind == _NONE:
        left = VOID
    if kind in (_NONE, _SUB):
        line[:] = left
        return left
    for x in range(len(line)):
        over = np.int64(above[x])
        # Paeth's prediction is the left pixel where the two above are equal, and the one above
        # where the two to the left are.
        if kind == _AVERAGE or (over != corner and left != corner):
            left = _index(0, kind, left, over, corner, colours, table)
            if left == _UNKNOWN:
                break
        elif over != corner:
            left = over
        corner = over
        line[x] = left
    return left


@compiled
def _index(
    difference: int,
    kind: int,
    left: int,
    above: int,
    corner: int,
    colours: np.ndarray,
    table: np.ndarray,
) -> int:
    """The index of a pixel from those of its neighbours; ``_UNKNOWN`` for an unknown id."""
    a, b, c = colours[left + 1], colours[above + 1], colours[corner + 1]
    colour = 0
    for shift in (0, 8, 16):
        predicted = _prediction(kind, (a >> shift) & 255, (b >> shift) & 255, (c >> shift) & 255)
        colour |= (((difference >> shift) + predicted) & 255) << shift
    place = _hash(colour, len(table))
    while table[place] != _UNKNOWN and colours[table[place] + 1] != colour:
        place = (place + 1) & (len(table) - 1)
    return np.int64(table[place])


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


@compiled
def _hash_table(colours: np.ndarray) -> np.ndarray:
    """Indices at the places of their colours, or at the next free ones; else ``_UNKNOWN``."""
    size = 64
    while size < 4 * len(colours):
        size *= 2
    table = np.full(size, _UNKNOWN, np.int16)
    for entry in range(len(colours)):
        place = _hash(colours[entry], size)
        while table[place] != _UNKNOWN:
            place = (place + 1) & (size - 1)
        table[place] = entry - 1
    return table


@compiled
def _hash(colour: int, size: int) -> int:
    return ((colour * 0x9E3779B1) >> 20) & (size - 1)


def _look_up(picture: Image.Image, known: np.ndarray, where: str, json_name: str) -> np.ndarray:
    colours = np.asarray(picture).astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    found, inverse = np.unique(colours, return_inverse=True)
    positions = {0: VOID} | {int(number): place for place, number in enumerate(known)}
    strange = [int(colour) for colour in found if int(colour) not in positions]
    if strange:
        raise FileError(
            "unknown id",
            where,
            f"holds the segment id {strange[0]} ({len(strange)} such id(s)), which "
            f"{json_name} does not list for this image; fetch both from the same release.",
        )
    table = np.array([positions[int(colour)] for colour in found], np.int16)
    return table[inverse].reshape(colours.shape)
