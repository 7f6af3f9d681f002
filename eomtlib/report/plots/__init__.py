"""Figures: Pareto plots, segmentations side by side, training curves, the ladder."""

from eomtlib.report.plots.attention import plot_attention
from eomtlib.report.plots.changes import plot_changes
from eomtlib.report.plots.curves import plot_annealing, plot_curves
from eomtlib.report.plots.ladder import plot_ladder
from eomtlib.report.plots.lines import plot_lines
from eomtlib.report.plots.pareto import plot_pareto
from eomtlib.report.plots.picture_rows import plot_pictures
from eomtlib.report.plots.point_labels import place_labels
from eomtlib.report.plots.segmentations import (
    class_palette,
    enlarge,
    enlargement,
    outlines,
    overlay,
    plot_segmentations,
)
from eomtlib.report.plots.style import GREY, RUNG_COLORS, RUNG_MARKERS, save_figure

__all__ = [
    "GREY",
    "RUNG_COLORS",
    "RUNG_MARKERS",
    "class_palette",
    "enlarge",
    "enlargement",
    "outlines",
    "overlay",
    "place_labels",
    "plot_annealing",
    "plot_attention",
    "plot_changes",
    "plot_curves",
    "plot_ladder",
    "plot_lines",
    "plot_pareto",
    "plot_pictures",
    "plot_segmentations",
    "save_figure",
]
