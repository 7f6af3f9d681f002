"""Looking into what models predict: segments, queries and layers, of any checkpoint and image.

A model and a picture make an ``Inspection`` in one forward pass; views draw it; ``Explorer`` puts
the views behind a few controls in JupyterLab.
"""

from eomtlib.explore.inspection import Inspection, Layer, inspect
from eomtlib.explore.inspector import Inspector
from eomtlib.explore.models import ExploredModel, finished_runs, given_checkpoints
from eomtlib.explore.pictures import Picture, open_pictures, own_pictures, val_pictures
from eomtlib.explore.segments import Segments
from eomtlib.explore.views import plot_layers, plot_models, plot_queries, plot_segmentation
from eomtlib.explore.widget import Explorer

__all__ = [
    "ExploredModel",
    "Explorer",
    "Inspection",
    "Inspector",
    "Layer",
    "Picture",
    "Segments",
    "finished_runs",
    "given_checkpoints",
    "inspect",
    "open_pictures",
    "own_pictures",
    "plot_layers",
    "plot_models",
    "plot_queries",
    "plot_segmentation",
    "val_pictures",
]
