"""Lists of classes as files: ``classes.json``, or the categories of an annotation file."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from eomtlib.core.structures import ClassInfo
from eomtlib.data.decoding.archives import FolderStore
from eomtlib.data.decoding.json_lists import JsonLists
from eomtlib.data.decoding.problems import Report, refuse
from eomtlib.data.formats.coco_index import CocoIndex


def read_classes(path: Path, report: Report = refuse) -> tuple[ClassInfo, ...]:
    """The classes of a file, in its order, checked as COCO's categories are.

    Args:
        path: of a JSON list of ``{"name": "road", "isthing": 0, "id": 7}``, where one likes with
            a ``color`` as ``[128, 64, 128]`` or ``"#804080"``; or of an annotation
            file in COCO's panoptic or instance format, whose instance categories are things.
        report: is given what is wrong with an entry; if it returns, the entry is left out.

    Raises:
        DataError: when the file cannot be read, or is neither.
    """
    text = FolderStore(path.parent).read(path.name)
    text = text.removeprefix(codecs.BOM_UTF8)
    is_list = text.lstrip()[:1] == b"["
    if is_list:
        text = b'{"images": [], "categories": ' + text + b"}"
    lists = JsonLists(text, str(path))
    index = CocoIndex(lists, report, things_by_default=not is_list)
    index.settle_classes(np.zeros(0, np.int64))
    return index.classes


def class_entries(classes: Iterable[ClassInfo]) -> list[dict[str, Any]]:
    """What a ``classes.json`` says of each class, colours where there are any."""
    return [
        {"id": info.category_id, "name": info.name, "isthing": int(info.is_thing)}
        | ({"color": list(info.color)} if info.color else {})
        for info in classes
    ]
