"""COCO's lists of images whose annotations nobody has, such as those of a test split."""

from __future__ import annotations

from pathlib import Path

import msgspec

from eomtlib.data.decoding.archives import FolderStore
from eomtlib.data.decoding.json_lists import JsonLists
from eomtlib.data.decoding.problems import refuse
from eomtlib.data.formats.coco_index import CocoIndex


def read_image_ids(path: Path) -> dict[str, int | str]:
    """File name → id of each image of an annotation file, with annotations or without.

    Raises:
        DataError: when the file cannot be read, or is of another form.
    """
    lists = JsonLists(FolderStore(path.parent).read(path.name), str(path))
    index = CocoIndex(lists, refuse, things_by_default=True)
    names = [name.decode() for name in index.image_names.tolist()]
    return dict(zip(names, map(msgspec.json.decode, index.own_ids.tolist()), strict=True))
