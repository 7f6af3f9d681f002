"""What an inspection holds, as the viewer draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from eomtlib.data.class_colors import class_colors
from eomtlib.report.explore.inspection import Inspection
from eomtlib.report.explore.sources import Picture, Segments
from eomtlib.report.viewer import ShownImage, ShownMap, ShownSegment
from eomtlib.report.viewer.data import data_uri

_LONGEST = 256
"""Pixels of a mask's longer side: all layers of a query are sent at once."""

_SAMPLES = 64
"""Pixels of a segment that are asked for their query."""

_CLAMP = 6.0
"""Mask logits are sent as 0 to 255 between minus and plus this."""


def shown_picture(picture: Picture) -> dict[str, Any]:
    """The photo with its target, without any model."""
    target = None if picture.target is None else shown_map(picture.target)
    return ShownImage(picture.title, picture.pixels, [], target).data()


def shown_map(
    segments: Segments,
    figure: tuple[str, float] | None = None,
    queries: Sequence[int | None] | None = None,
) -> ShownMap:
    """A segmentation in the colours of its classes, with what is known of it and its segments."""
    colors, scores = class_colors(segments.classes), segments.scores
    shown = [
        ShownSegment(
            name=segments.classes[label].name,
            color=tuple(colors[label]),
            score=None if scores is None else scores[place],
            query=None if queries is None else queries[place],
        )
        for place, label in enumerate(segments.labels)
    ]
    return ShownMap(segments.ids, shown, "{} {:.1f}".format(*figure) if figure else "")


def shown_layers(seen: Inspection, *, threshold: float) -> list[dict[str, Any]]:
    """The segmentation after each layer, named."""
    layers = []
    for index, layer in enumerate(seen.layers):
        how = {"threshold": threshold, "layer": index}
        segments = seen.segments(**how)
        behind = _queries_behind(seen, segments, layer=index)
        shown = shown_map(segments, seen.accuracy(**how), behind)
        layers.append(shown.data() | {"layer": layer.name})
    return layers


def _queries_behind(seen: Inspection, segments: Segments, *, layer: int) -> list[int | None]:
    """The query that claims most of each segment; None where it is too small to be asked."""
    step = -(-max(segments.ids.shape) // _LONGEST)
    few, found = segments.ids[::step, ::step], []
    for place, label in enumerate(segments.labels):
        places = step * np.argwhere(few == place)
        places = places[:: max(1, len(places) // _SAMPLES)]
        found.append(seen.query_behind(places, label, layer=layer) if len(places) else None)
    return found


def shown_query(seen: Inspection, query: int) -> dict[str, Any]:
    """A query's way through the layers: its masks and attention as images below each other.

    Returns:
        ``says`` and ``layers``, a text for each layer; ``masks``, an address, and ``attention``,
        another or None, of as many images as there are ``looks``, texts as well. A mask's values
        are logits, see ``_CLAMP``; attention is relative to its largest value in the block.
    """
    layers, (height, width) = range(len(seen.layers)), seen.picture.size
    masks = torch.cat([seen.masks([query], layer=layer) for layer in layers])
    scale = min(1.0, _LONGEST / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    masks = F.interpolate(masks[None], size, mode="area")[0]
    logits = masks.logit(1e-6).clamp(-_CLAMP, _CLAMP)
    looks, attention = [], None
    if seen.attention:
        maps = torch.stack([block[query].float() for block in seen.attention])
        shares, most = maps.sum((1, 2)), maps.amax((1, 2))
        looks = [
            f"{100 * share:.0f} % of its attention goes to patches, {100 * one:.1f} % to one alone"
            for share, one in zip(shares.tolist(), most.tolist(), strict=True)
        ]
        # Without the padding.
        rows, columns = seen.layout.size
        relative, blocks = maps[None] / most.clamp(min=1e-9)[:, None, None], "nearest-exact"
        seen_as = F.interpolate(relative, seen.input_size, mode=blocks)[..., :rows, :columns]
        attention = _stacked(255 * F.interpolate(seen_as, size, mode=blocks)[0])
    return {
        "query": query,
        "layers": [layer.name for layer in seen.layers],
        "says": [seen.says(query, layer=layer) for layer in layers],
        "masks": _stacked(127.5 + 127.5 / _CLAMP * logits),
        "looks": looks,
        "attention": attention,
    }


def _stacked(maps: torch.Tensor) -> str:
    pixels = maps.round().clamp(0, 255).flatten(0, 1).numpy().astype(np.uint8)
    return data_uri(pixels)
