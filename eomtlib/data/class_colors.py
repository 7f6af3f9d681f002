"""The colour that each class is drawn in, in every picture.

What a class file says goes first, then the published colours of a published list of classes, then
``PALETTE``, whose colours belong to places: the k-th class has the k-th colour however many there
are, so that a class keeps its colour where others are added behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from dataclasses import replace

import numpy as np

from eomtlib.core.structures import ClassInfo, rgb
from eomtlib.data.sets import ade20k_classes, cityscapes, coco_classes

_FIXED = """
b464ff 00b478 dc7800 8c2864 2814ff 645000 a0ff28 dcf0a0 a0b4ff ff28b4 50ffff ff2850
ffc864 643ca0 ff8cb4 a0143c 8c00dc c800c8 b4c800 a06400 8cc878 508c50 b48cff 78508c
c83c78 8cf0c8 28c8dc 5064c8 8cb43c 3cff78 c8143c 5050ff
"""
PALETTE = tuple(map(rgb, _FIXED.split()))
"""The first twelve are at least 25 apart in CIE Lab (ΔE 1976) for normal sight and for those who
lack one kind of cones, as Machado et al. simulate it (IEEE TVCG 2009); each of the others is as far
as can be from those before."""


def _published() -> dict[frozenset[str], dict[str, tuple[int, int, int]]]:
    """Names of all classes, and of the things, of each published list → the colours of these."""
    coco = list(coco_classes.COLORS.items())
    lists = [coco, coco[: coco_classes.NUM_THINGS]]
    for classes in (ade20k_classes.CLASSES, ade20k_classes.THINGS, cityscapes.CLASSES):
        lists.append([(info.name, info.color) for info in classes])
    return {frozenset(name for name, _ in own): dict(own) for own in lists}


_PUBLISHED = _published()


def class_colors(classes: Sequence[ClassInfo]) -> np.ndarray:
    """The colours of a list of classes, ``[K, 3]`` uint8, red, green and blue."""
    published = _PUBLISHED.get(frozenset(info.name for info in classes), {})
    colors = [
        info.color or published.get(info.name) or place_color(place)
        for place, info in enumerate(classes)
    ]
    return np.array(colors, np.uint8).reshape(-1, 3)


def colored(classes: Sequence[ClassInfo]) -> tuple[ClassInfo, ...]:
    """The same classes, each with the colour that it is drawn in."""
    colors = class_colors(classes).tolist()
    return tuple(
        replace(info, color=tuple(color)) for info, color in zip(classes, colors, strict=True)
    )


def place_color(place: int) -> tuple[int, int, int]:
    """The colour of the class at a place, from 0, where nobody says another."""
    if place < len(PALETTE):
        return PALETTE[place]
    # Hues by the golden ratio, which fall into the widest gap, in three tones.
    saturation, value = ((0.85, 0.95), (0.9, 0.6), (0.5, 0.9))[place % 3]
    red, green, blue = hsv_to_rgb(place * 0.6180339887 % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
