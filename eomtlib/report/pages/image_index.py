"""``index.html`` of a folder of overlays: thumbnails, filtered by the classes found in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from eomtlib.core.files.atomic_files import write_file
from eomtlib.core.structures import ClassInfo
from eomtlib.data.class_colors import class_colors
from eomtlib.report.pages.templates import render


@dataclass(frozen=True)
class IndexedImage:
    """An image of the index.

    Attributes:
        name: of its file, as people know it.
        shown: path of the picture to show, relative to the index.
        classes: positions in the list of classes, of those that were found.
    """

    name: str
    shown: str
    classes: Sequence[int]


def write_index(folder: Path, images: Iterable[IndexedImage], classes: Sequence[ClassInfo]) -> Path:
    """Writes ``index.html``, which needs neither a server nor a network.

    Pictures are loaded from the folder when they come into view, so that there may be 10,000.

    Args:
        folder: that holds the pictures.
        images: in the order in which they are shown; names of any kind, also such as are no UTF-8.
        classes: all of them.

    Returns:
        The page.
    """
    entries = [
        {
            "name": image.name,
            "address": quote(image.shown, errors="surrogateescape"),
            "classes": sorted(set(image.classes)),
        }
        for image in images
    ]
    data = {"images": entries, "classes": [info.name for info in classes]}
    data["colors"] = class_colors(classes).tolist()
    page = folder / "index.html"
    write_file(page, render("index.html.j2", title="What was found", data=data))
    return page
