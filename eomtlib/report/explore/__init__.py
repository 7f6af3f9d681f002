"""Looking into what models predict: segments, queries and layers, of any checkpoint and image.

A model and a picture make an ``Inspection``; figures draw it for static pages; ``Explorer`` is a
widget of JupyterLab in which all of it can be touched.
"""

from eomtlib.report.explore.explored_models import finished_runs, given_checkpoints, told_once
from eomtlib.report.explore.inspection import inspect
from eomtlib.report.explore.inspector import Inspector
from eomtlib.report.explore.sources import open_pictures
from eomtlib.report.explore.views import plot_layers, plot_models, plot_queries
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
    "told_once",
]
