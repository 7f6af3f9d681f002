"""Validation images as every trained model of a study segments them, in the viewer."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from eomtlib.report.explore.explored_models import model_at, trained_model
from eomtlib.report.explore.inspector import Inspector
from eomtlib.report.explore.shown import shown_map
from eomtlib.report.explore.sources import Picture
from eomtlib.report.viewer import ShownImage, ShownMap, viewer_data, viewer_html
from eomtlib.study.records.store import ResultStore, RunResult


def viewer(
    store: ResultStore,
    models: Mapping[str, RunResult],
    pictures: Sequence[Picture],
    *,
    device: str,
) -> tuple[Markup, str]:
    """The part of a page that shows them, or, where it is empty, why there is nothing to show.

    Args:
        store: the results folder.
        models: title → run; those whose weights are gone are left out.
        pictures: to be segmented.
        device: to run on.
    """
    maps: dict[str, list[ShownMap]] = {}
    classes = next((p.target.classes for p in pictures if p.target is not None), ())
    for title, run in models.items() if pictures else ():
        if run.unfinished:
            own = [model_at(run.folder)]
        elif run.training is not None and (store.root / run.training.checkpoint).is_dir():
            own = [trained_model(store, run.training)]
        else:
            continue
        inspector = Inspector(own, pictures, classes=classes, device=device)
        seen = [inspector(0, place) for place in range(len(pictures))]
        maps[title] = [shown_map(one.segments(), one.accuracy()) for one in seen]
        del inspector, seen  # a model's predictions of all layers
        gc.collect()
    if not maps:
        return Markup(), "The weights of these runs are not in the results folder."
    if not any(shown.segments for own in maps.values() for shown in own):
        return Markup(), "No model finds a segment in these images yet."
    images = [
        ShownImage(
            title=picture.title,
            pixels=picture.pixels,
            maps=[of_model[place] for of_model in maps.values()],
            target=None if picture.target is None else shown_map(picture.target),
        )
        for place, picture in enumerate(pictures)
    ]
    data = viewer_data(list(maps), images)
    return Markup(viewer_html(data, element_id="viewer", start={"against": "target"})), ""
