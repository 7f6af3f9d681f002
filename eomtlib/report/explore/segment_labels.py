"""Writing the names of segments on an image that a figure shows."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from eomtlib.core.escaping import for_matplotlib
from eomtlib.report.plots.images.label_places import place_labels
from eomtlib.report.plots.images.named_overlays import Segments

_OUTLINE = withStroke(linewidth=2, foreground="black")
_MARGIN = (4.0, 1.5)
"""Free space beside and above a label, in points."""


def write_labels(ax: Axes, segments: Segments, ids: np.ndarray, *, fontsize: float = 7.5) -> int:
    """Writes each segment's class and score on it, or beside it where it is too small.

    The axes must be where they will stay: the layout is done, and the image is shown.

    Args:
        ax: shows an image of the size of ``ids``.
        segments: what to write.
        ids: their map, as large as the image that is shown.
        fontsize: in points.

    Returns:
        How many of the segments have no label because there was no room for it.
    """
    pixel = abs(np.diff(ax.get_xlim())[0]) / ax.get_window_extent().width
    margins = 2 * np.array(_MARGIN) * ax.figure.dpi / 72
    halves = np.zeros((len(segments.labels), 2))
    texts = {}
    for segment in np.unique(ids[ids >= 0]).tolist():
        texts[segment] = ax.text(
            0, 0, for_matplotlib(segments.text(segment)), ha="center", va="center",
            fontsize=fontsize, color="white", zorder=4, path_effects=[_OUTLINE],
        )  # fmt: skip
        extent = texts[segment].get_window_extent()
        halves[segment] = (np.array([extent.width, extent.height]) + margins) * pixel / 2
    for label in place_labels(ids, halves):
        texts.pop(label.segment).set_position(label.centre)
        if label.line is not None:
            ax.plot(
                *zip(*label.line, strict=True), color="white", lw=0.9, zorder=3,
                marker="o", ms=2.5, markevery=[1], path_effects=[_OUTLINE],
            )  # fmt: skip
    for text in texts.values():
        text.remove()
    return len(texts)
