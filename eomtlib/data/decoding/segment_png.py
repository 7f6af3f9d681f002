"""PNGs that code segment ids as colours (id = R + 256 G + 65536 B), decoded to segment indices."""

from __future__ import annotations

import numpy as np

from eomtlib.core.structures import VOID
from eomtlib.data.decoding.image_files import open_image
from eomtlib.data.decoding.problems import FileError


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
    picture = open_image(data, size=size, where=where, json_name=json_name, kind="unreadable mask")
    if picture.mode != "RGB":
        raise FileError(
            "unreadable mask",
            where,
            f"is a PNG of mode {picture.mode}, but segment ids are coded as 8-bit RGB "
            "(id = R + 256 G + 65536 B); write it as RGB.",
        )
    pixels = np.asarray(picture).astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    ids = np.concatenate(([0], known)).astype(np.int32)
    order = np.argsort(ids)
    # Of each pixel the place of its id, had it one, among all in ascending order.
    place = order[np.searchsorted(ids, pixels, sorter=order).clip(max=len(ids) - 1)]
    strange = np.unique(pixels[ids[place] != pixels])
    if len(strange):
        raise FileError(
            "unknown id",
            where,
            f"holds the segment id {strange[0]} ({len(strange)} such id(s)), which "
            f"{json_name} does not list for this image; fetch both from the same release.",
        )
    return (place + VOID).astype(np.int16)
