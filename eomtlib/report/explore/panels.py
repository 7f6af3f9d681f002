"""Rows of pictures: a figure of equal panels, and what is drawn into one."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from eomtlib.core.escaping import for_matplotlib
from eomtlib.data.class_colors import class_colors
from eomtlib.report.explore.segment_labels import write_labels
from eomtlib.report.explore.sources import Picture, Segments
from eomtlib.report.plots.images.overlays import enlarge, enlargement, outlines, overlay
from eomtlib.report.plots.style import GREY

_NARROWEST = 6
_DPI = 110
_HEAT = "inferno"


class ShownFigure(Figure):
    """A figure that notebooks show when asked to, and pyplot knows nothing of.

    Attributes:
        alt: what it shows, for whoever does not see it.
    """

    alt = ""

    def png(self) -> bytes:
        """The figure as a PNG file."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=_DPI, facecolor="white")
        return file.getvalue()

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return self.png(), {"alt": self.alt}


@dataclass(frozen=True)
class Panel:
    """One picture of a figure.

    Attributes:
        pixels: ``[H, W, 3]`` uint8, enlarged where the picture is small.
        title: above it.
        segments: that are named on it.
        ids: their map, as large as ``pixels``.
        is_heat: whether its colours are probabilities.
    """

    pixels: np.ndarray
    title: str
    segments: Segments | None = None
    ids: np.ndarray | None = None
    is_heat: bool = False


def plain(picture: Picture, title: str = "image") -> Panel:
    """The picture as it is."""
    return Panel(enlarge(picture.pixels, enlargement(picture.size)), title)


def segmented(picture: Picture, segments: Segments, title: str) -> Panel:
    """The picture tinted by class, segments outlined and named."""
    factor = enlargement(picture.size)
    pixels, ids = enlarge(picture.pixels, factor), enlarge(segments.ids, factor)
    tinted = overlay(pixels, ids, segments.labels, colors=class_colors(segments.classes))
    return Panel(tinted, title, segments, ids)


def heated(picture: Picture, probability: np.ndarray, title: str) -> Panel:
    """The picture in grey under a mask's probabilities, outlined where the mask claims."""
    factor = enlargement(picture.size)
    mixed = heat(enlarge(picture.pixels, factor), enlarge(probability, factor))
    return Panel(mixed, title, is_heat=True)


def draw(
    panels: Sequence[Panel], *, columns: int, width: float, title: str, note: str = ""
) -> ShownFigure:
    """Equal panels, row by row, with room for all texts, and with a scale for probabilities.

    Args:
        panels: of pictures of one size.
        columns: at most so many side by side.
        width: of a panel, in inches.
        title: above all.
        note: small print below all.
    """
    columns = min(columns, len(panels))
    figure = ShownFigure(layout="constrained")
    figure.alt = f"{title}. Panels: {'; '.join(panel.title for panel in panels)}."
    FigureCanvasAgg(figure)
    grid = figure.subplots(-(-len(panels) // columns), columns, squeeze=False)
    for ax in grid.flat:
        ax.set_axis_off()
    titles = [_wrapped(panel.title, width, 8.5) for panel in panels]
    for ax, panel, wrapped in zip(grid.flat, panels, titles, strict=False):
        ax.imshow(panel.pixels, interpolation="nearest", aspect="equal")
        ax.set_title(wrapped, loc="left", fontsize=8.5)
    has_scale = any(panel.is_heat for panel in panels)
    if has_scale:
        _add_scale(figure, grid)
    figure_width = max(_NARROWEST, columns * (width + 0.1) + 0.8 * has_scale)
    above, below = _wrapped(title, figure_width, 11), _wrapped(note, figure_width, 8)
    figure.suptitle(above, fontsize=11, x=0.01, ha="left")
    figure.supxlabel(below, fontsize=8, color=GREY, x=0.01, ha="left")
    rows, columns = panels[0].pixels.shape[:2]
    lines = max(wrapped.count("\n") + 1 for wrapped in titles)
    row_height = width * rows / columns + 0.15 * lines + 0.12
    height = len(grid) * row_height + 0.19 * (above.count("\n") + 1) + 0.1
    if below:
        height += 0.14 * (below.count("\n") + 1) + 0.1
    figure.set_size_inches(figure_width, height)
    figure.canvas.draw()
    # Labels are placed where panels are now, and must not move them.
    figure.set_layout_engine("none")
    for ax, panel, wrapped in zip(grid.flat, panels, titles, strict=False):
        left_out = write_labels(ax, panel.segments, panel.ids) if panel.segments else 0
        if left_out:
            ax.set_title(f"{wrapped}, {left_out} unnamed", loc="left", fontsize=8.5)
    return figure


def _add_scale(figure: Figure, grid: np.ndarray) -> None:
    """What the colours of probabilities mean, on a grey in the middle."""
    shown = ListedColormap(_tinted(np.full((256, 1), 0.5), np.linspace(0, 1, 256)))
    scale = ScalarMappable(Normalize(0, 1), shown)
    bar = figure.colorbar(scale, ax=grid, fraction=0.03, pad=0.01, aspect=24, shrink=0.9)
    bar.set_label("mask probability", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def heat(pixels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """A picture in grey under the colours of a probability, outlined in white at one half."""
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    mixed = 255 * _tinted(grey[..., None] / 255, probability)
    mixed[outlines(probability >= 0.5)] = 255
    return mixed.clip(0, 255).astype(np.uint8)


def _tinted(grey: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Grey values under a probability's colours, 0 to 1: the more probable, the more colour."""
    share = (0.25 + 0.5 * probability)[..., None]
    return share * matplotlib.colormaps[_HEAT](probability)[..., :3] + (1 - share) * grey


def _wrapped(text: str, width: float, fontsize: float) -> str:
    """Lines that fit into so many inches; a character is about 0.6 of its size wide."""
    most = int(width * 72 / (0.62 * fontsize))
    return for_matplotlib("\n".join(textwrap.fill(line, most) for line in text.splitlines()))
