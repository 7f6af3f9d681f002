"""Figures: Pareto plots, segmentations side by side, training curves, the ladder."""

from eomtlib.report.plots.beside_printed import plot_beside_printed
from eomtlib.report.plots.changes import plot_changes
from eomtlib.report.plots.confusion import plot_confusion
from eomtlib.report.plots.curves import plot_annealing, plot_curves
from eomtlib.report.plots.images.image_rows import plot_attention, plot_pictures, plot_segmentations
from eomtlib.report.plots.images.overlays import enlarge, overlay
from eomtlib.report.plots.ladder import plot_ladder
from eomtlib.report.plots.lines import plot_lines
from eomtlib.report.plots.pareto import plot_pareto
from eomtlib.report.plots.question import plot_factors, plot_validation
from eomtlib.report.plots.speed import plot_speed
from eomtlib.report.plots.style import RUNG_COLORS, RUNG_MARKERS, save_figure

__all__ = [
    "RUNG_COLORS",
    "RUNG_MARKERS",
    "enlarge",
    "overlay",
    "plot_annealing",
    "plot_attention",
    "plot_beside_printed",
    "plot_changes",
    "plot_confusion",
    "plot_curves",
    "plot_factors",
    "plot_ladder",
    "plot_lines",
    "plot_pareto",
    "plot_pictures",
    "plot_segmentations",
    "plot_speed",
    "plot_validation",
    "save_figure",
]
