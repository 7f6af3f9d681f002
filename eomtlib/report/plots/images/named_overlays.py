"""Segments drawn over their image with their names in them, as one picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.font_manager import findSystemFonts
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from eomtlib.core.structures import ClassInfo
from eomtlib.data.class_colors import class_colors
from eomtlib.report.plots.images.label_places import place_labels
from eomtlib.report.plots.images.overlays import OPACITY, enlarge, enlargement, overlay

_SMALLEST = 11
"""Height of letters in pixels, in pictures of usual size; in larger ones they grow."""
_PLACED_AT = 1024
"""Places are chosen on a map of at most so many pixels a side."""
_LEGEND_ROWS = 40
_GAP = 6


@dataclass(frozen=True)
class Segments:
    """A segmentation that knows how its classes are called.

    Attributes:
        ids: ``[H, W]``, positions in ``labels``; −1 is void.
        labels: the class of each segment.
        classes: that labels are positions in.
        scores: of each segment; None for annotations.
    """

    ids: np.ndarray
    labels: Sequence[int]
    classes: Sequence[ClassInfo]
    scores: Sequence[float] | None = None

    def text(self, segment: int) -> str:
        """What is written on a segment: its class and, where it has one, its score."""
        name = self.classes[self.labels[segment]].name
        return name if self.scores is None else f"{name} {self.scores[segment]:.2f}"


def named_overlay(
    image: np.ndarray,
    segments: Segments,
    *,
    opacity: float = OPACITY,
    side_by_side: bool = False,
) -> np.ndarray:
    """An ``overlay`` with each segment's class and score in it, or beside it.

    Args:
        image: ``[H, W, 3]`` uint8. One too small to be written on is enlarged first.
        segments: its segments.
        opacity: of the colours, 0 to 1.
        side_by_side: whether the image is at the left of it.

    Returns:
        ``[F H, F W, 3]`` uint8 with the factor F of ``enlargement``; of both, as wide as both and a
        margin.
    """
    factor = enlargement(segments.ids.shape)
    pixels, ids = enlarge(image, factor), enlarge(segments.ids, factor)
    colors = class_colors(segments.classes)
    shown = overlay(pixels, ids, segments.labels, colors=colors, opacity=opacity)
    shown = write_names(shown, ids, segments)
    if not side_by_side:
        return shown
    return np.hstack([pixels, np.full((len(pixels), _GAP, 3), 255, np.uint8), shown])


def write_names(picture: np.ndarray, ids: np.ndarray, segments: Segments) -> np.ndarray:
    """A picture with the names of segments on it, white with a dark edge.

    Args:
        picture: ``[H, W, 3]`` uint8.
        ids: ``[H, W]``, positions in the labels of ``segments``, as large as the picture.
        segments: what to write.
    """
    height = max(_SMALLEST, round(0.022 * max(ids.shape)))
    edge = -(-height // 12)
    fonts, texts, halves = [], [], np.zeros((len(segments.labels), 2))
    for segment in range(len(segments.labels)):
        text = segments.text(segment)
        fonts.append(letters(height, text))
        texts.append(shortened(text, fonts[-1], 0.55 * ids.shape[1]))
        halves[segment] = fonts[-1].getlength(texts[-1]) / 2 + 0.4 * height, 0.7 * height
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    step = -(-max(ids.shape) // _PLACED_AT)
    labels = place_labels(ids[::step, ::step], halves / step)
    for line in (label.line for label in labels if label.line is not None):
        start, end = (tuple(step * place) for place in line)
        draw.line((start, end), fill="black", width=3 * edge)
        draw.line((start, end), fill="white", width=edge)
        draw.circle(end, 2 * edge, fill="white", outline="black")
    for label in labels:
        draw.text(
            tuple(step * label.centre), texts[label.segment], fill="white",
            font=fonts[label.segment], anchor="mm", stroke_width=edge, stroke_fill="black",
        )  # fmt: skip
    return np.asarray(image)


def draw_legend(
    classes: Sequence[ClassInfo], found: Iterable[int], *, opacity: float = OPACITY
) -> np.ndarray:
    """Classes with their colours: as they are in palettes, and over dark and bright of a photo.

    Args:
        classes: all of them.
        found: positions of those to be shown.
        opacity: of the overlays.

    Returns:
        ``[H, W, 3]`` uint8.
    """
    colors, places = class_colors(classes), sorted(set(found))
    row, swatch = 24, 60
    rows = max(1, min(len(places) + 1, _LEGEND_ROWS))
    columns = -(-(len(places) + 1) // rows)
    named = [(colors[k], classes[k].name) for k in places] + [(np.zeros(3, np.uint8), "no segment")]
    entries = []
    for color, name in named:
        font = letters(14, name)
        entries.append((color, shortened(name, font, 300), font))
    widest = max(font.getlength(name) for _, name, font in entries)
    width = 3 * row + 2 * swatch + round(widest)
    picture = np.full((row * rows + row, columns * width, 3), 255, np.uint8)
    ramp = np.linspace(0, 255, swatch)[None, :, None]
    for index, (color, *_) in enumerate(entries):
        top, left = row // 2 + row * (index % rows) + 2, row // 2 + width * (index // rows)
        cell = picture[top : top + row - 4, left : left + 2 * swatch]
        cell[:, :swatch] = color
        cell[:, swatch:] = (1 - opacity) * ramp + opacity * color
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for index, (_, name, font) in enumerate(entries):
        left = row + 2 * swatch + width * (index // rows)
        draw.text((left, row * (1 + index % rows)), name, fill="black", font=font, anchor="lm")
    return np.asarray(image)


def shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """A text on one line, cut to about so many pixels; its end, where a score is, stays."""
    text = " ".join(text.split())
    wide = font.getlength(text)
    if wide <= width:
        return text
    return f"{text[: max(1, int(len(text) * width / wide) - 6)]}…{text[-5:]}"


_BROUGHT = str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")


def letters(height: int, text: str = "") -> ImageFont.FreeTypeFont:
    """The letters that matplotlib brings along, which are there on every machine.

    They lack Chinese, Japanese and Korean: such a text is written in the first font of the machine
    that has all of it; where none has, as boxes.

    Args:
        height: in pixels.
        text: to be written.
    """
    return _font(_file_with(frozenset("".join(text.split()))), height)


@cache
def _font(path: str, height: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, height)


@cache
def _file_with(needed: frozenset[str]) -> str:
    paths = chain([_BROUGHT], sorted(findSystemFonts()))
    return next((path for path in paths if needed <= _characters(path)), _BROUGHT)


@cache
def _characters(path: str) -> frozenset[str]:
    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (RuntimeError, OSError):  # a bitmap font, or one that cannot be read
        return frozenset()
