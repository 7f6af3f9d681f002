"""What a data set holds, as text: its images, the segments in them, its classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from eomtlib.data.tally import Tally

_NAMED = 3
_WIDEST = 40
"""Longer names of classes are cut."""


def describe(tally: Tally, queries: Mapping[str, int]) -> Iterator[str]:
    """Lines about what was counted; classes from the most pixels to those that never occur.

    Args:
        tally: of every image.
        queries: how many a model has by default, of each size in words.
    """
    if not tally.images:
        return
    yield f"{tally.images} image(s), {_sizes(tally.dataset.sizes)}"
    if tally.found_by:
        found = np.array(tally.found_by)
        most, usual = int(found.max()), int(np.ceil(np.percentile(found, 95)))
        yield (
            f"segments of an image: median {np.median(found):g}, at most {usual} in 95 % of the "
            f"images, {most} in any"
        )
        said = ", ".join(f"{count} ({size})" for size, count in queries.items())
        short = [size for size, count in queries.items() if count < most]
        advice = f"; set --num-queries {most} for: {', '.join(short)}" if short else ""
        yield f"num_queries: {most} gives every segment one, by default there are {said}{advice}"
    names = [_printable(info.name) for info in tally.dataset.classes]
    width = max(map(len, [*names, "class"]))
    yield f"{'class':<{width}}  {'pixels':>8}  {'images':>7}  {'segments':>8}"
    for place in np.lexsort((-tally.images_with, -tally.pixels)).tolist():
        row = f"{names[place]:<{width}}  {_share(tally.pixels[place], tally.area):>8}  "
        row += f"{tally.images_with[place]:>7,}  {tally.segments[place]:>8,}"
        yield row if tally.segments[place] else f"{row}  never occurs"


def in_figures(tally: Tally) -> dict[str, Any]:
    """The same as values: of each class, and how many images have how many segments to be found."""
    columns = zip(
        tally.dataset.classes, tally.pixels, tally.images_with, tally.segments, strict=True
    )
    classes = [
        {"name": info.name, "pixels": int(area), "images": int(shown), "segments": int(count)}
        for info, area, shown, count in columns
    ]
    counted = dict(sorted(Counter(tally.found_by).items()))
    return {"images": tally.images, "classes": classes, "images_by_segments": counted}


def _sizes(sizes: np.ndarray) -> str:
    """Heights and widths ``[N, 2]`` in words."""
    different, counts = np.unique(sizes, axis=0, return_counts=True)
    said = [
        f"{different[place][0]}×{different[place][1]} ({counts[place]:,})"
        for place in counts.argsort(kind="stable")[::-1][:_NAMED]
    ]
    if len(different) <= _NAMED:
        return f"height × width: {', '.join(said)}"
    (low, left), (high, right) = sizes.min(axis=0), sizes.max(axis=0)
    return (
        f"{len(different)} sizes (height × width), most often {', '.join(said)}; heights {low} to "
        f"{high}, widths {left} to {right}"
    )


def _share(part: int, whole: int) -> str:
    percent = 100 * part / max(whole, 1)
    return "0 %" if not part else f"{percent:.1f} %" if percent >= 0.05 else "< 0.1 %"


def _printable(name: str) -> str:
    """A name of others in a column of a terminal."""
    shown = "".join(letter if letter.isprintable() else " " for letter in name)
    return shown if len(shown) <= _WIDEST else f"{shown[: _WIDEST - 1]}…"
