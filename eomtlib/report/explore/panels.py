"""Rows of pictures: a figure of equal panels, and what is drawn into one."""

from __future__ import annotations

import io
import textwrap

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from eomtlib.report.explore.segment_labels import write_labels
from eomtlib.report.explore.sources import Segments
from eomtlib.report.plots.overlays import enlarge, enlargement, outlines, overlay
from eomtlib.report.plots.style import GREY

_NARROWEST = 6
_DPI = 110
_HEAT = "inferno"


class ShownFigure(Figure):
    """A figure that notebooks show when asked to, and pyplot knows nothing of."""

    def png(self) -> bytes:
        """The figure as a PNG file."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=_DPI, facecolor="white")
        return file.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()


class Panels:
    """A figure of equal panels for pictures of one size.

    Args:
        count: of panels.
        columns: at most so many side by side.
        size: height and width of the picture.
        width: of a panel, in inches.
        title: above all.
        note: small print below all.

    Attributes:
        figure: the figure.
        axes: of the panels, row by row.
    """

    def __init__(
        self,
        count: int,
        *,
        columns: int,
        size: tuple[int, int],
        width: float,
        title: str,
        note: str = "",
    ) -> None:
        columns = min(columns, count)
        self.width, self.size = width, size
        self.figure = ShownFigure(layout="constrained")
        FigureCanvasAgg(self.figure)
        self._grid = self.figure.subplots(-(-count // columns), columns, squeeze=False)
        for ax in self._grid.flat:
            ax.set_axis_off()
        self.axes: list[Axes] = list(self._grid.flat[:count])
        self._factor = enlargement(size)
        self._title, self._note = title, note
        self._has_scale = False
        self._labelled: list[tuple[Axes, Segments, np.ndarray]] = []

    def show_image(self, panel: int, pixels: np.ndarray, title: str = "image") -> None:
        """The picture as it is."""
        self._show(panel, self._enlarge(pixels), title)

    def show_segments(self, panel: int, pixels: np.ndarray, segments: Segments, title: str) -> None:
        """The picture tinted by class, segments outlined and named."""
        ids = self._enlarge(segments.ids)
        tinted = overlay(
            self._enlarge(pixels), ids, segments.labels, num_classes=len(segments.class_names)
        )
        self._show(panel, tinted, title)
        self._labelled.append((self.axes[panel], segments, ids))

    def show_heat(
        self, panel: int, pixels: np.ndarray, probability: np.ndarray, title: str
    ) -> None:
        """The picture in grey under a mask's probabilities, outlined where the mask claims."""
        self._show(panel, heat(self._enlarge(pixels), self._enlarge(probability)), title)

    def add_heat_scale(self) -> None:
        """What the colours of ``show_heat`` mean, on a grey in the middle."""
        shown = ListedColormap(_tinted(np.full((256, 1), 0.5), np.linspace(0, 1, 256)))
        bar = self.figure.colorbar(
            ScalarMappable(Normalize(0, 1), shown), ax=self._grid, fraction=0.03, pad=0.01,
            aspect=24, shrink=0.9,
        )  # fmt: skip
        bar.set_label("mask probability", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        self._has_scale = True

    def finish(self) -> ShownFigure:
        """Gives all texts their room, fixes the layout, writes the labels."""
        rows, columns = self._grid.shape
        figure_width = max(_NARROWEST, columns * (self.width + 0.1) + 0.8 * self._has_scale)
        titles = [_wrapped(ax.get_title(loc="left"), self.width, 8.5) for ax in self.axes]
        for ax, title in zip(self.axes, titles, strict=True):
            ax.set_title(title, loc="left", fontsize=8.5)
        above = _wrapped(self._title, figure_width, 11)
        below = _wrapped(self._note, figure_width, 8)
        self.figure.suptitle(above, fontsize=11, x=0.01, ha="left")
        self.figure.supxlabel(below, fontsize=8, color=GREY, x=0.01, ha="left")
        lines = max(title.count("\n") + 1 for title in titles)
        row_height = self.width * self.size[0] / self.size[1] + 0.15 * lines + 0.12
        height = rows * row_height + 0.19 * (above.count("\n") + 1) + 0.1
        if below:
            height += 0.14 * (below.count("\n") + 1) + 0.1
        self.figure.set_size_inches(figure_width, height)
        self.figure.canvas.draw()
        # Labels are placed where panels are now, and must not move them.
        self.figure.set_layout_engine("none")
        for ax, segments, ids in self._labelled:
            left_out = write_labels(ax, segments, ids)
            if left_out:
                title = ax.get_title(loc="left")
                ax.set_title(f"{title}, {left_out} unnamed", loc="left", fontsize=8.5)
        return self.figure

    def _show(self, panel: int, pixels: np.ndarray, title: str) -> None:
        self.axes[panel].imshow(pixels, interpolation="nearest", aspect="equal")
        self.axes[panel].set_title(title, loc="left")

    def _enlarge(self, pixels: np.ndarray) -> np.ndarray:
        return enlarge(pixels, self._factor)


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
    return "\n".join(textwrap.fill(line, most) for line in text.splitlines())
