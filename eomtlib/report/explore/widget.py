"""The views behind a few controls, for JupyterLab."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets

from eomtlib.core.errors import EomtlibError
from eomtlib.report.explore.explored_models import ExploredModel
from eomtlib.report.explore.inspector import Inspector
from eomtlib.report.explore.panels import ShownFigure
from eomtlib.report.explore.sources import Picture
from eomtlib.report.explore.views import plot_layers, plot_models, plot_queries, plot_segmentation

VIEWS = {
    "segmentation": "one model's segments, beside the target",
    "queries": "the masks of its surest queries",
    "layers": "one query, or all, from layer to layer",
    "models": "all models on the same image",
}
"""View → what it shows."""

_USES = {
    "segmentation": {"image", "model", "threshold"},
    "queries": {"image", "model"},
    "layers": {"image", "model", "threshold", "query"},
    "models": {"image", "threshold"},
}
_ALL = -1
_EVERY = ("all: the segmentation", _ALL)
_STYLE = {"description_width": "80px"}


class Explorer(widgets.VBox):
    """Chooses image, model, view, score threshold and query, and draws the view again.

    The picture is a PNG, so that it needs nothing but ipywidgets; where there is no widget manager,
    as on a static page, the first one is shown.

    Args:
        inspector: of the models and pictures to choose from.
        num_queries: how many the view ``queries`` shows.
        threshold: of the score, to begin with.

    Attributes:
        image, model, view, threshold, query: the controls.
        picture: what is drawn.
    """

    def __init__(
        self, inspector: Inspector, *, num_queries: int = 8, threshold: float = 0.8
    ) -> None:
        self._inspector, self._num_queries = inspector, num_queries
        self._is_updating = False
        self.view = widgets.ToggleButtons(options=list(VIEWS), tooltips=list(VIEWS.values()))
        self.image = _menu("image", _numbered(inspector.pictures), width="330px")
        self.model = _menu("model", _numbered(inspector.models), width="580px")
        self.threshold = widgets.FloatSlider(
            threshold, min=0, max=0.95, step=0.05, description="score above",
            continuous_update=False, layout=widgets.Layout(width="330px"), style=_STYLE,
        )  # fmt: skip
        self.query = _menu("query", [_EVERY], width="580px")
        self.picture = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
        self._message = widgets.HTML()
        rows = [(self.image, self.model), (self.threshold, self.query)]
        super().__init__(
            [
                self.view,
                *(widgets.Box(row, layout=widgets.Layout(flex_flow="row wrap")) for row in rows),
                self._message,
                self.picture,
            ]
        )
        self._draw()
        for control in (self.view, self.image, self.model, self.threshold, self.query):
            control.observe(self._redraw, names="value")

    def figure(self) -> ShownFigure:
        """The view that is chosen, as a figure."""
        view, threshold = self.view.value, self.threshold.value
        if view == "models":
            seen = self._inspector.of_picture(self.image.value)
            return plot_models(seen, threshold=threshold)
        seen = self._inspector(self.model.value, self.image.value)
        if view == "queries":
            return plot_queries(seen, count=self._num_queries)
        if view == "layers":
            query = None if self.query.value == _ALL else self.query.value
            return plot_layers(seen, query=query, threshold=threshold)
        return plot_segmentation(seen, threshold=threshold)

    def _redraw(self, change: Any) -> None:
        del change
        if self._is_updating:
            return
        try:
            self._draw()
            self._message.value = ""
        except EomtlibError as error:
            # What is raised here ends in a log that nobody sees.
            self._message.value = f"<b>{html.escape(str(error))}</b>"

    def _draw(self) -> None:
        self._offer_queries()
        for name in ("image", "model", "threshold", "query"):
            getattr(self, name).disabled = name not in _USES[self.view.value]
        self.picture.value = self.figure().png()

    def _offer_queries(self) -> None:
        """Lists the queries of this model on this image, the chosen one kept."""
        if self.view.value == "models":
            return
        seen = self._inspector(self.model.value, self.image.value)
        options = [_EVERY]
        options += [(f"{query}: {seen.says(query)}", query) for query in seen.ranking()]
        chosen = self.query.value
        self._is_updating = True
        self.query.options = options
        self.query.value = chosen if chosen in dict(options).values() else _ALL
        self._is_updating = False

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs)
        return bundle | {"image/png": base64.b64encode(self.picture.value).decode()}


def _numbered(titled: Sequence[Picture | ExploredModel]) -> list[tuple[str, int]]:
    return [(item.title, index) for index, item in enumerate(titled)]


def _menu(name: str, options: list[tuple[str, int]], *, width: str) -> widgets.Dropdown:
    layout = widgets.Layout(width=width)
    return widgets.Dropdown(options=options, description=name, layout=layout, style=_STYLE)
