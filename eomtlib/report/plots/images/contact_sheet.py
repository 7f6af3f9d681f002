"""Some images of a data set with masks and names over them, on one sheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from eomtlib.data.dataset import SegmentationDataset
from eomtlib.report.plots.images.named_overlays import Segments, letters, named_overlay, shortened

_TILE = (300, 400)
"""Height and width that an image is fitted into."""
_COLUMNS = 4
_LINE = 20
"""Height of a line of text, in pixels."""


def contact_sheet(parts: Iterable[tuple[str, SegmentationDataset, Sequence[int]]]) -> np.ndarray:
    """A heading for each part, and below it its images with the names of their files.

    Args:
        parts: heading, data set, and which of its images.

    Returns:
        ``[H, W, 3]`` uint8.
    """
    height, width = _TILE[0] + _LINE, _TILE[1] + 8
    rows: list[Image.Image] = []
    for heading, dataset, indices in parts:
        row = Image.new("RGB", (_COLUMNS * width, _LINE + 8), "white")
        _write(row, (4, 14), heading, 15)
        rows.append(row)
        for place, index in enumerate(indices):
            if place % _COLUMNS == 0:
                rows.append(Image.new("RGB", (_COLUMNS * width, height), "white"))
            left = 4 + width * (place % _COLUMNS)
            rows[-1].paste(_tile(dataset, index), (left, 0))
            _write(rows[-1], (left, _TILE[0] + 9), dataset.source(index)[1], 11)
    return np.vstack([np.asarray(row) for row in rows])


def _tile(dataset: SegmentationDataset, index: int) -> Image.Image:
    pixels, segments = dataset.read(index)
    photo = Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
    scale = min(_TILE[0] / photo.height, _TILE[1] / photo.width)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    # Where instances overlap, the last is in front.
    ids = Image.fromarray(segments.ids.amax(0).numpy().astype(np.int32))
    small = np.asarray(ids.resize(size, Image.Resampling.NEAREST))
    shown = Segments(small, segments.labels.tolist(), dataset.classes)
    smooth = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return Image.fromarray(named_overlay(np.asarray(photo.resize(size, smooth)), shown))


def _write(row: Image.Image, place: tuple[int, int], text: str, height: int) -> None:
    font = letters(height, text)
    text = shortened(text, font, _TILE[1] if height < _LINE * 0.7 else row.width - 8)
    ImageDraw.Draw(row).text(place, text, fill="black", font=font, anchor="lm")
