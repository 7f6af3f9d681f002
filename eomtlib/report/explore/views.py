"""The views: four figures, each of which answers one question about an image."""

from __future__ import annotations

from collections.abc import Sequence

from eomtlib.report.explore.inspection import Inspection
from eomtlib.report.explore.panels import Panels, ShownFigure

_SCORED = "Segments of queries that score above {:.2f}; dark where there is none."
_WIDTH = 10
"""Of a figure with many columns, in inches: a notebook shows no more without shrinking it."""


def plot_segmentation(seen: Inspection, *, threshold: float = 0.8) -> ShownFigure:
    """What does the model see? The image, its segmentation with names, and the target if known.

    Args:
        seen: the model's inspection of the picture.
        threshold: queries below this score make no segment.
    """
    picture = seen.picture
    panels = Panels(
        2 + (picture.target is not None),
        columns=3,
        size=picture.size,
        width=3.2,
        title=f"{picture.title} · {seen.title}",
        note=_note(_SCORED.format(threshold), seen.label),
    )
    panels.show_image(0, picture.pixels)
    panels.show_segments(1, picture.pixels, seen.segments(threshold=threshold), "segmentation")
    if picture.target is not None:
        panels.show_segments(2, picture.pixels, picture.target, "target")
    return panels.finish()


def plot_queries(seen: Inspection, *, count: int = 8) -> ShownFigure:
    """Which query claims what? The masks of the queries that are surest of a class.

    Args:
        seen: the model's inspection of the picture.
        count: at most so many queries.
    """
    picture, queries = seen.picture, seen.ranking()[:count]
    panels = Panels(
        len(queries),
        columns=4,
        size=picture.size,
        width=2.25,
        title=f"{picture.title}: the {len(queries)} surest of {seen.num_queries} queries · "
        f"{seen.title}",
        note=_note("White: where a mask passes one half.", seen.label),
    )
    for panel, (query, mask) in enumerate(zip(queries, seen.masks(queries), strict=True)):
        panels.show_heat(panel, picture.pixels, mask.numpy(), f"query {query}\n{seen.says(query)}")
    panels.add_heat_scale()
    return panels.finish()


def plot_layers(
    seen: Inspection, *, query: int | None = None, threshold: float = 0.8
) -> ShownFigure:
    """When does the model know? A query's mask, or the whole segmentation, after every layer.

    Args:
        seen: the model's inspection of the picture.
        query: which one; None for the whole segmentation.
        threshold: of the segmentation.
    """
    picture, count = seen.picture, len(seen.layers)
    what = "the segmentation" if query is None else f"query {query}"
    said = _SCORED.format(threshold) if query is None else ""
    note = f"This model was {seen.note}." if seen.note else ""
    columns = count if count <= 5 else -(-count // 2)
    panels = Panels(
        count,
        columns=columns,
        size=picture.size,
        width=min(2.4, _WIDTH / columns),
        title=f"{picture.title}: {what} through the layers · {seen.title}",
        note=_note(said, note, seen.label),
    )
    for index, layer in enumerate(seen.layers):
        if query is None:
            segments = seen.segments(threshold=threshold, layer=index)
            panels.show_segments(index, picture.pixels, segments, layer.name)
        else:
            mask = seen.masks([query], layer=index)[0]
            title = f"{layer.name}\n{seen.says(query, layer=index)}"
            panels.show_heat(index, picture.pixels, mask.numpy(), title)
    if query is not None:
        panels.add_heat_scale()
    return panels.finish()


def plot_models(seen: Sequence[Inspection], *, threshold: float = 0.8) -> ShownFigure:
    """Where do models differ? The same image by all of them, beside the target if known.

    Args:
        seen: an inspection of the same picture by each model.
        threshold: queries below this score make no segment.
    """
    picture = seen[0].picture
    first = 1 + (picture.target is not None)
    labels = dict.fromkeys(inspection.label for inspection in seen if inspection.label)
    panels = Panels(
        first + len(seen),
        columns=4 if first + len(seen) > 3 else 3,
        size=picture.size,
        width=2.4,
        title=f"{picture.title} by {len(seen)} model{'s' if len(seen) > 1 else ''}",
        note=_note(_SCORED.format(threshold), *labels),
    )
    panels.show_image(0, picture.pixels)
    if picture.target is not None:
        panels.show_segments(1, picture.pixels, picture.target, "target")
    for panel, inspection in enumerate(seen, start=first):
        segments = inspection.segments(threshold=threshold)
        title = inspection.title.replace(" (", "\n(", 1)
        panels.show_segments(panel, picture.pixels, segments, title)
    return panels.finish()


def _note(*sentences: str) -> str:
    """Small print; a label of a study is no sentence yet."""
    said = [text[0].upper() + text[1:] for text in sentences if text]
    return " ".join(text if text.endswith(".") else f"{text}." for text in said)
