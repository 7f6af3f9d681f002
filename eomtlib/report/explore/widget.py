"""The explorer: the viewer with the models behind it, for JupyterLab."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import anywidget
import matplotlib
import numpy as np

from eomtlib.core.errors import EomtlibError
from eomtlib.report.explore.inspector import Inspector
from eomtlib.report.explore.shown import shown_layers, shown_picture, shown_query
from eomtlib.report.explore.sources import own_picture, own_pictures
from eomtlib.report.viewer import CSS, JS

_HERE = files(__package__)
_MOST = 24
"""Images of a folder that is opened."""


class Explorer(anywidget.AnyWidget):
    """Models, images, segments, queries and layers, to be touched; everything is drawn in the page.

    It sends images when they are first shown, all layers of a model or a query at once, so that
    moving through them asks nothing. Nothing of this is state: a saved notebook stays small, and
    without a kernel, as on a static page, there is nothing to see.

    Args:
        inspector: of the models and pictures to choose from; opened images are added to it.
        threshold: of the score, to begin with.
    """

    _esm = JS + (_HERE / "explorer.js").read_text("utf-8")
    _css = CSS + (_HERE / "explorer.css").read_text("utf-8")

    def __init__(self, inspector: Inspector, *, threshold: float = 0.8) -> None:
        super().__init__()
        self._inspector, self._threshold = inspector, threshold
        self.on_msg(lambda _, content, buffers: self.send(self.answer(content, buffers)))

    def __repr__(self) -> str:
        return "The explorer needs a running kernel in JupyterLab; figures show the first image."

    def answer(self, content: dict[str, Any], buffers: Sequence[Any] = ()) -> dict[str, Any]:
        """What the page asks for.

        Args:
            content: ``kind`` (``begin``, ``see``, ``query`` or ``open``), ``id``, and what that
                kind takes.
            buffers: the content of a file to ``open``.

        Returns:
            ``to``, the id, and the answer, or an ``error``'s text.
        """
        kinds = {"see": self._see, "query": self._query, "open": self._open}
        try:
            chosen = kinds.get(content["kind"], self._begin)
            answer = chosen(content | {"file": bytes(buffers[0])} if buffers else content)
        except EomtlibError as error:
            answer = {"error": str(error)}
        except Exception as error:
            # What is raised here ends in a log that nobody sees, and the page waits for an answer.
            answer = {"error": f"{type(error).__name__}: {error}"}
        return answer | {"to": content["id"]}

    def _begin(self, content: dict[str, Any]) -> dict[str, Any]:
        del content
        colors = matplotlib.colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
        return {
            "data": {"models": self._inspector.names, "images": self._listed(0)},
            "model": self._inspector.preferred(),
            "shared": self._inspector.shared,
            "threshold": self._threshold,
            "colors": colors.tolist(),
        }

    def _listed(self, first: int) -> list[dict[str, Any]]:
        """The pictures from one on, without what only those that are shown need."""
        empty = {"photo": "", "target": None, "maps": [None] * len(self._inspector.models)}
        return [shown_picture(picture) | empty for picture in self._inspector.pictures[first:]]

    def _see(self, content: dict[str, Any]) -> dict[str, Any]:
        model, image, threshold = content["model"], content["image"], content["threshold"]
        seen, made = self._inspector(model, image), self._inspector.made_of(image)
        figures = [self._inspector(one, image).accuracy(threshold=threshold) for one in made]
        return {
            "layers": shown_layers(seen, threshold=threshold),
            "picture": None if content["has_photo"] else shown_picture(seen.picture),
            "caption": seen.caption.format(threshold),
            "has_threshold": seen.task == "panoptic",
            "notes": [note for note in (seen.note, seen.label) if note],
            "figures": {
                place: "{} {:.1f}".format(*figure)
                for place, figure in zip(made, figures, strict=True)
                if figure
            },
        }

    def _query(self, content: dict[str, Any]) -> dict[str, Any]:
        seen, layer = self._inspector(content["model"], content["image"]), content["layer"]
        query = content["query"]
        if query is None:
            place = np.array([[content["y"], content["x"]]])
            segments = seen.segments(threshold=content["threshold"], layer=layer)
            segment = segments.ids[content["y"], content["x"]]
            label = segments.labels[segment] if segment >= 0 else None
            query = seen.query_behind(place, label, layer=layer)
        return shown_query(seen, query)

    def _open(self, content: dict[str, Any]) -> dict[str, Any]:
        first = len(self._inspector.pictures)
        if "file" in content:
            opened = [own_picture(content["file"], content["name"])]
        else:
            opened = own_pictures(content["path"], _MOST)
        self._inspector.pictures.extend(opened)
        return {"images": self._listed(first), "first": first}
