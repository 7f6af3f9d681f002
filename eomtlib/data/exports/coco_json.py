"""COCO's instance format in the layouts of tools (https://cocodataset.org/#format-data).

- Roboflow: ``train``, ``valid`` and ``test``, each with its images and ``_annotations.coco.json``,
  whose first category is a root without objects
- CVAT, Datumaro, Label Studio: ``annotations/instances_train.json``, and images in ``images/train``
  or ``images``; or a ``result.json`` beside ``images``
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from eomtlib.core.errors import DataError
from eomtlib.core.structures import ClassInfo
from eomtlib.data.decoding.json_lists import JsonLists
from eomtlib.data.decoding.problems import FileError
from eomtlib.data.exports.drawn import Drawn, Export, Photo, Source, split_named
from eomtlib.data.formats.coco_index import flag, whole
from eomtlib.data.formats.instance_index import as_polygons

_ROBOFLOW = "_annotations.coco.json"


def is_roboflow(root: Path) -> bool:
    """Whether a folder is Roboflow's export, of one split or several."""
    return any(True for _ in root.glob(f"*/{_ROBOFLOW}")) or (root / _ROBOFLOW).is_file()


def is_coco(root: Path) -> bool:
    """Whether a folder is one of the other tools'."""
    return bool(_other_files(root))


def open_roboflow(source: Source) -> Export:
    """Reads Roboflow's annotation files.

    Raises:
        DataError: when a file is no such annotation file.
    """
    paths = sorted(source.root.glob(f"*/{_ROBOFLOW}")) or [source.root / _ROBOFLOW]
    return _open(source, {path: (path.parent.name, [_folder(source, path)]) for path in paths})


def open_coco(source: Source) -> Export:
    """Reads the other tools' annotation files; a file's name ends in its split's.

    Raises:
        DataError: when a file is no such annotation file.
    """
    places: dict[Path, tuple[str, list[str]]] = {}
    for path in _other_files(source.root):
        own = path.stem.rpartition("_")[2].rstrip("0123456789")
        folders = [f"images/{own}", "images", own, _folder(source, path)]
        places[path] = (own, list(dict.fromkeys(folders)))
    return _open(source, places)


def _other_files(root: Path) -> list[Path]:
    found = sorted((root / "annotations").glob("instances_*.json"))
    return found or [path for path in (root / "result.json",) if path.is_file()]


def _folder(source: Source, path: Path) -> str:
    below = path.parent.relative_to(source.root).as_posix()
    return "" if below == "." else below


def _open(source: Source, places: dict[Path, tuple[str, list[str]]]) -> Export:
    files = {path: _File(source, path) for path in places}
    classes: dict[int, ClassInfo] = {}
    for path, file in files.items():
        for number, name in file.names.items():
            if number in classes and classes[number].name != name:
                raise DataError(
                    f"{path}: category {number} is {name!r}, but {classes[number].name!r} in "
                    "another split; export all splits together."
                )
            classes[number] = ClassInfo(name, True, number)
    used = set().union(*(file.used for file in files.values()))
    above = set().union(*(file.above for file in files.values()))
    roots = {n for n, info in classes.items() if info.name in above and n not in used}
    for number in sorted(roots):
        source.remark(f"category {classes.pop(number).name!r} (id {number}), a root, is left out")
    splits: dict[str, list[tuple[_File, list[str]]]] = defaultdict(list)
    for path, (name, folders) in places.items():
        splits[split_named(name)].append((files[path], folders))
    return Export(
        form="instance",
        classes=tuple(classes[number] for number in sorted(classes)),
        splits={split: partial(_photos, parts) for split, parts in splits.items()},
    )


class _File:
    """One annotation file; its entries stay the text that they are, which takes less room.

    Attributes:
        names: category id → name.
        above: names of categories that are others' supercategory.
        used: ids of the categories that have objects.
    """

    def __init__(self, source: Source, path: Path) -> None:
        self._source, self._path = source, path
        lists = JsonLists(source.read(path), str(path))
        self.names: dict[int, str] = {}
        self.above: set[str] = set()
        self.used: set[int] = set()
        self._known: set[str] = set()
        self._images: list[tuple[Any, str, tuple[int, int]]] = []
        self._of: dict[str, list[tuple[int, msgspec.Raw]]] = defaultdict(list)
        self._each(lists, "categories", self._add_category)
        self._each(lists, "images", self._add_image)
        self._each(lists, "annotations", self._add_annotation)

    def photos(self, folders: list[str]) -> Iterator[Photo]:
        """The images, looked for in folders of the root."""
        where = str(self._path)
        for number, name, said in self._images:
            image = self._source.find(name, folders, where)
            size = image and self._source.size_of(image, where=f"{where}: {name}", said=said)
            if not size:
                continue
            # Of whatever type ids are, as both lists may write them as texts.
            objects = tuple(self._drawn(*entry) for entry in self._of[str(number)])
            yield Photo(image=image, name=name, size=size, objects=objects)

    def _drawn(self, position: int, text: msgspec.Raw) -> Drawn:
        entry = msgspec.json.decode(text)
        return Drawn(
            label=self.names[whole(entry["category_id"])],
            outline=as_polygons(entry["segmentation"]),
            where=f"{self._path}: annotations[{position}]",
            is_crowd=flag(entry.get("iscrowd", 0)),
        )

    def _add_category(self, position: int, entry: dict[str, Any], text: msgspec.Raw) -> None:
        self.names[whole(entry["id"])] = str(entry["name"])
        parent = str(entry.get("supercategory", ""))
        if parent != entry["name"]:
            self.above.add(parent)

    def _add_image(self, position: int, entry: dict[str, Any], text: msgspec.Raw) -> None:
        size = whole(entry["height"]), whole(entry["width"])
        # Label Studio writes a path that begins with the folder.
        name = self._source.below(str(entry["file_name"]), self._path)
        self._known.add(str(entry["id"]))
        self._images.append((entry["id"], name.relative_to(self._source.root).as_posix(), size))

    def _add_annotation(self, position: int, entry: dict[str, Any], text: msgspec.Raw) -> None:
        if not entry["segmentation"]:
            raise ValueError("has a box and no outline; export the data set for segmentation")
        number = whole(entry["category_id"])
        if number not in self.names:
            raise ValueError(f"category_id {number} is not among the categories")
        if str(entry["image_id"]) not in self._known:
            raise ValueError(f"image_id {entry['image_id']!r} is not among the images")
        flag(entry.get("iscrowd", 0))
        self.used.add(number)
        self._of[str(entry["image_id"])].append((position, text))

    def _each(
        self, lists: JsonLists, part: str, add: Callable[[int, dict, msgspec.Raw], None]
    ) -> None:
        for position, text in enumerate(lists.entries(part)):
            try:
                add(position, msgspec.json.decode(text), text)
                continue
            except KeyError as error:
                what = f"lacks the field {error}"
            except (ValueError, TypeError, AttributeError, OverflowError) as error:
                if isinstance(error, DataError):
                    raise
                what = str(error)
            where = f"{self._path}: {part}[{position}]"
            self._source.report(FileError("malformed entry", where, f"{what}."))


def _photos(parts: list[tuple[_File, list[str]]]) -> Iterator[Photo]:
    for file, folders in parts:
        yield from file.photos(folders)
