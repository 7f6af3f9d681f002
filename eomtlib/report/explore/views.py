"""Three figures for static pages, each of which answers one question about an image."""

from __future__ import annotations

from collections.abc import Sequence

from eomtlib.report.explore.inspection import Inspection
from eomtlib.report.explore.panels import ShownFigure, draw, heated, plain, segmented

_WIDTH = 10
"""Of a figure with many columns, in inches: a notebook shows no more without shrinking it."""


def plot_queries(seen: Inspection, *, count: int = 8, threshold: float = 0.8) -> ShownFigure:
    """Which query claims what? An image, its segments, and the masks of the surest queries.

    Args:
        seen: the model's inspection of the picture.
        count: at most so many queries.
        threshold: of the segmentation.
    """
    picture, queries = seen.picture, seen.ranking()[:count]
    panels = [plain(picture), segmented(picture, seen.segments(threshold=threshold), "segments")]
    panels += [
        heated(picture, mask.numpy(), f"query {query}\n{seen.says(query)}")
        for query, mask in zip(queries, seen.masks(queries), strict=True)
    ]
    surest = f"the {len(queries)} surest of {seen.num_queries} queries"
    said = (_caption(seen, threshold), "In masks, white: where one passes one half.")
    note = _note(*said, *_known(seen))
    title = f"{picture.title}: {surest} · {seen.title}"
    return draw(panels, columns=5, width=2.0, title=title, note=note)


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
    panels = []
    for index, layer in enumerate(seen.layers):
        if query is None:
            segments = seen.segments(threshold=threshold, layer=index)
            panels.append(segmented(picture, segments, layer.name))
        else:
            mask = seen.masks([query], layer=index)[0].numpy()
            title = f"{layer.name}\n{seen.says(query, layer=index)}"
            panels.append(heated(picture, mask, title))
    said = _caption(seen, threshold) if query is None else ""
    columns = count if count <= 5 else -(-count // 2)
    return draw(
        panels,
        columns=columns,
        width=min(2.4, _WIDTH / columns),
        title=f"{picture.title}: {what} through the layers · {seen.title}",
        note=_note(said, f"This model was {seen.note}" if seen.note else "", *_known(seen)),
    )


def plot_models(seen: Sequence[Inspection], *, threshold: float = 0.8) -> ShownFigure:
    """Where do models differ? The same image by all of them, beside the target if known.

    Args:
        seen: an inspection of the same picture by each model.
        threshold: queries below this score make no segment.
    """
    picture = seen[0].picture
    panels = [plain(picture)]
    if picture.target is not None:
        panels.append(segmented(picture, picture.target, "target"))
    for inspection in seen:
        title, found = inspection.title, inspection.accuracy(threshold=threshold)
        title += "\n{} {:.1f}".format(*found) if found else ""
        panels.append(segmented(picture, inspection.segments(threshold=threshold), title))
    note = _note(*(_caption(one, threshold) for one in seen), *_known(*seen))
    title = f"{picture.title} by {len(seen)} model{'s' if len(seen) > 1 else ''}"
    columns = 4 if len(panels) > 3 else 3
    return draw(panels, columns=columns, width=2.4, title=title, note=note)


def _caption(seen: Inspection, threshold: float) -> str:
    dark = "" if seen.task == "semantic" else " Dark where there is none."
    return seen.caption.format(threshold) + dark


def _known(*seen: Inspection) -> tuple[str, ...]:
    """What must stand beside what these models predict."""
    return seen[0].details, *(inspection.label for inspection in seen)


def _note(*sentences: str) -> str:
    """Small print, nothing of it twice; a label of a study is no sentence yet."""
    said = [text[0].upper() + text[1:] for text in dict.fromkeys(sentences) if text]
    return " ".join(text if text.endswith(".") else f"{text}." for text in said)
