import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from eomtlib.core.errors import DataError
from eomtlib.data.decoding.segment_png import decode_segments

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def unfiltered(pixels):
    return b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in pixels)


def png(size, rows, *, end=True, parts=1):
    packed = zlib.compress(rows)
    step = -(-len(packed) // parts)
    body = b"".join(
        chunk(b"IDAT", packed[start : start + step]) for start in range(0, len(packed), step)
    )
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", size[1], size[0], 8, 2, 0, 0, 0))
    return SIGNATURE + header + body + (chunk(b"IEND", b"") if end else b"")


def scene(size, count, seed, noise=0.0):
    """Ids over all 24 bits, and a map of rectangles of them with a share of single pixels."""
    rng = np.random.default_rng(seed)
    known = rng.choice(np.arange(1, 1 << 24), count, replace=False).astype(np.int32)
    indices = np.full(size, -1)
    for _ in range(3 * count):
        top, left = rng.integers(0, size[0]), rng.integers(0, size[1])
        height, width = rng.integers(1, size[0] + 1), rng.integers(1, size[1] + 1)
        indices[top : top + height // 2, left : left + width // 2] = rng.integers(-1, count)
    single = rng.random(size) < noise
    indices[single] = rng.integers(-1, count, single.sum())
    ids = np.concatenate(([0], known))[indices + 1]
    return known, indices, np.stack([ids >> shift & 255 for shift in (0, 8, 16)], -1)


def decode(data, size, known):
    return decode_segments(data, size, known, where="map.png", json_name="list.json")


@pytest.mark.parametrize("noise", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("size", [(23, 37), (1, 1), (5, 1), (1, 9)])
def test_ids_of_all_24_bits_become_positions(size, noise):
    for seed, count in ((0, 3), (1, 40), (2, 300)):
        known, indices, pixels = scene(size, count, seed, noise)
        result = decode(png(size, unfiltered(pixels), parts=1 + seed), size, known)
        assert result.dtype == np.int16
        assert np.array_equal(result, indices)


def test_pngs_of_other_programs_are_read():
    known, indices, pixels = scene((60, 80), 12, seed=5)
    for options in ({}, {"optimize": True}, {"compress_level": 0}, {"compress_level": 1}):
        file = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG", **options)
        assert np.array_equal(decode(file.getvalue(), (60, 80), known), indices)


def test_damage_is_refused():
    size = (23, 37)
    known, _, pixels = scene(size, 5, seed=0)
    rows = unfiltered(pixels)
    whole = png(size, rows)
    wrong_sum = bytearray(zlib.compress(rows))
    wrong_sum[-1] ^= 1
    header = whole[: whole.index(b"IDAT") - 4]
    for data in (
        whole[:-40],
        png(size, rows[:-1]),
        png(size, b"\x05" + rows[1:]),
        header + chunk(b"IDAT", bytes(wrong_sum)) + chunk(b"IEND", b""),
        header + struct.pack(">I", 0xFFFFFFFF) + b"IDAT",
    ):
        with pytest.raises(DataError, match=r"map\.png: cannot be decoded"):
            decode(data, size, known)


def test_an_unknown_id_and_how_many_are_named():
    size = (23, 37)
    known, _, pixels = scene(size, 5, seed=0)
    pixels[3, 4], pixels[20, 30] = (9, 1, 0), (10, 1, 0)
    with pytest.raises(DataError, match=r"map\.png: holds the segment id 265 \(2 such"):
        decode(png(size, unfiltered(pixels)), size, known)
