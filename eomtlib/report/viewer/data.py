"""What ``viewer.js`` draws, as JSON: photos, and maps of segments as PNGs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

_THUMBNAIL = 112
_LOSSLESS = 256
"""Photos up to this long are sent as PNGs: their pixels can be counted."""


@dataclass(frozen=True)
class ShownSegment:
    """One segment of a map.

    Attributes:
        name: of its class; text from outside.
        color: red, green and blue, 0 to 255.
        score: 0 to 1; None where there is none.
        query: that it is of; None where that is not known.
    """

    name: str
    color: tuple[int, int, int]
    score: float | None = None
    query: int | None = None


@dataclass(frozen=True)
class ShownMap:
    """A segmentation of an image.

    Attributes:
        ids: ``[H, W]`` integers, positions in ``segments``; −1 is void.
        segments: those of the map.
        figure: how good it is, as ``PQ 48.3``; empty where nothing is known.
    """

    ids: np.ndarray
    segments: Sequence[ShownSegment]
    figure: str = ""

    def data(self) -> dict[str, Any]:
        """As the viewer reads it: ids begin at 1, their lowest byte is red."""
        ids = self.ids.astype(np.int64) + 1
        colors = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
        segments = [
            {
                "name": segment.name,
                "color": [int(part) for part in segment.color],
                "score": None if segment.score is None else round(float(segment.score), 4),
                "query": segment.query,
            }
            for segment in self.segments
        ]
        return {"map": data_uri(colors), "segments": segments, "figure": self.figure}


@dataclass(frozen=True)
class ShownImage:
    """A photo with what models see in it.

    Attributes:
        title: of the image; text from outside.
        pixels: ``[H, W, 3]`` uint8.
        maps: one for each model, None where it is not there.
        target: None where nobody annotated the image.
    """

    title: str
    pixels: np.ndarray
    maps: Sequence[ShownMap | None]
    target: ShownMap | None = None

    def data(self) -> dict[str, Any]:
        """As the viewer reads it."""
        height, width = self.pixels.shape[:2]
        small = Image.fromarray(self.pixels)
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        return {
            "title": self.title,
            "size": [width, height],
            "photo": data_uri(self.pixels, lossless=max(width, height) <= _LOSSLESS),
            "thumbnail": data_uri(np.asarray(small), lossless=False),
            "target": self.target and self.target.data(),
            "maps": [one and one.data() for one in self.maps],
        }


def viewer_data(models: Sequence[str], images: Sequence[ShownImage]) -> dict[str, Any]:
    """What ``mount`` of ``viewer.js`` takes.

    Args:
        models: how they are called; as many as each image has maps.
        images: to flip through.
    """
    return {"models": list(models), "images": [image.data() for image in images]}


def data_uri(pixels: np.ndarray, *, lossless: bool = True) -> str:
    """An image ``[H, W]`` or ``[H, W, 3]`` uint8 as a PNG, or as a JPEG, inside an address."""
    file = io.BytesIO()
    kind = "png" if lossless else "jpeg"
    Image.fromarray(pixels).save(file, format=kind, **({} if lossless else {"quality": 88}))
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
