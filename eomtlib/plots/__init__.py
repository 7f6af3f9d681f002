"""Figures: Pareto plots, segmentations side by side, training curves, the ladder."""

from eomtlib.plots.attention import plot_attention
from eomtlib.plots.changes import plot_changes
from eomtlib.plots.curves import plot_annealing, plot_curves
from eomtlib.plots.labels import place_labels
from eomtlib.plots.ladder import plot_ladder
from eomtlib.plots.lines import plot_lines
from eomtlib.plots.pareto import plot_pareto
from eomtlib.plots.pictures import plot_pictures
from eomtlib.plots.segmentations import (
    class_palette,
    enlarge,
    enlargement,
    outlines,
    overlay,
    plot_segmentations,
)
from eomtlib.plots.style import GREY, RUNG_COLORS, RUNG_MARKERS, save_figure

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
