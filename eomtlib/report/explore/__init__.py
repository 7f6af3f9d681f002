"""Looking into what models predict: segments, queries and layers, of any checkpoint and image.

A model and a picture make an ``Inspection`` in one forward pass; views draw it; ``Explorer`` puts
the views behind a few controls in JupyterLab.
"""

from eomtlib.report.explore.explored_models import finished_runs, given_checkpoints
from eomtlib.report.explore.inspection import inspect
from eomtlib.report.explore.inspector import Inspector
from eomtlib.report.explore.sources import open_pictures
from eomtlib.report.explore.views import plot_layers, plot_models, plot_queries, plot_segmentation
from eomtlib.report.explore.widget import Explorer

__all__ = [
    "Explorer",
    "Inspector",
    "finished_runs",
    "given_checkpoints",
    "inspect",
    "open_pictures",
    "plot_layers",
    "plot_models",
    "plot_queries",
    "plot_segmentation",
]
