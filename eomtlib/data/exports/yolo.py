"""YOLO's segmentation labels, as Ultralytics describes them (https://docs.ultralytics.com/datasets/segment/).

``data.yaml`` names the classes and where the images of each split lie; beside each folder
``images`` lies one ``labels`` with a text file for each image, an object a line: number of the
class, then x and y of each corner as shares of width and height.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from eomtlib.core.errors import DataError
from eomtlib.core.structures import ClassInfo
from eomtlib.data.decoding.image_files import SUFFIXES
from eomtlib.data.decoding.names import files_below
from eomtlib.data.decoding.problems import FileError
from eomtlib.data.exports.drawn import Drawn, Export, Photo, Source, split_named

_YAML = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_SLACK = 0.01
"""So far out of the image is a matter of rounding, or of a hand at the border."""


def is_yolo(root: Path) -> bool:
    """Whether a folder is such an export."""
    return _description(root) is not None


def open_yolo(source: Source) -> Export:
    """Reads the description; images when they are asked for.

    An image without a file of labels, or with an empty one, has no object. A test split of which
    no image has a file of labels is not annotated. Several polygons of one object come joined by
    lines of no width, which fill nothing.

    Raises:
        DataError: when it names no classes, or no images.
    """
    path = _description(source.root)
    if path is None:
        raise DataError(f"{source.root}: has no {' or '.join(_YAML)}; put it there.")
    try:
        described = yaml.safe_load(source.read(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is no valid YAML ({error}); export it again.") from error
    if not isinstance(described, dict):
        raise DataError(f"{path}: is no list of names and values; export it again.")
    classes = _classes(described.get("names"), path)
    places = {split: described.get(split) for split in ("train", "val", "test")}
    places["val"] = places["val"] or described.get("valid")
    if not any(places.values()):  # of tools that write the names alone
        places = _usual_places(source.root)
    images = {
        split: _images(source, split, place, described.get("path"), path)
        for split, place in places.items()
        if place
    }
    if not any(images.values()):
        raise DataError(f"{path}: names no folder that holds images; correct train and val in it.")
    return Export(
        form="instance",
        classes=classes,
        splits={
            split: partial(_photos, source, names, classes, str(path), is_test=split == "test")
            for split, names in images.items()
            if names
        },
    )


def _description(root: Path) -> Path | None:
    found = [root / name for name in _YAML if (root / name).is_file()]
    return found[0] if found else None


def _classes(names: Any, path: Path) -> tuple[ClassInfo, ...]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    numbers = names if isinstance(names, Mapping) else {}
    if not numbers or not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise DataError(f"{path}: names must list the classes; write names: {{0: cat, 1: dog}}.")
    return tuple(ClassInfo(str(numbers[number]), True, number) for number in sorted(numbers))


def _usual_places(root: Path) -> dict[str, Any]:
    """Where splits lie where nothing says it: ``images/train``, ``train/images``, ``images``."""
    found: dict[str, Any] = {}
    for folder in sorted(path for path in root.glob("*/*") if path.is_dir()):
        parts = folder.relative_to(root).parts
        if "images" in parts:
            name = parts[1 - parts.index("images")]
            found.setdefault(split_named(name), "/".join(parts))
    return found or {"train": "images" if (root / "images").is_dir() else "."}


def _images(source: Source, split: str, place: Any, base: Any, path: Path) -> list[str]:
    """Names of a split's images, relative to the root."""
    listed: list[str] = []
    for text in place if isinstance(place, list) else [place]:
        found = _below(source, str(text), str(base or ""), path)
        if found.suffix == ".txt":
            lines = source.lines(found)
            own = [
                _below(source, line.strip(), str(base or ""), found)
                for line in lines
                if line.strip()
            ]
            listed += [image.relative_to(source.root).as_posix() for image in own]
            continue
        if not found.is_dir() and split == "test":  # which some tools name without having it
            source.remark(f"{path} names {text} for {split}, which is not there")
            continue
        if not found.is_dir():
            what = f"missing, and {path} names it; put the images there, or correct the file."
            source.report(FileError("missing image", str(found), what))
            continue
        below = found.relative_to(source.root).as_posix()
        names = (posixpath.normpath(f"{below}/{name}") for name in files_below(found))
        listed += [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    return listed


def _below(source: Source, text: str, base: str, path: Path) -> Path:
    """What a path in the description means in this folder, wherever the folder has been before.

    Raises:
        DataError: when it leads out of the folder.
    """
    text, base = (part.replace("\\", "/") for part in (text, base))
    root = source.root.resolve().as_posix()
    # An absolute path is one of the machine that wrote it, unless it leads here. Roboflow begins
    # its own with ../, which is not meant.
    if text.startswith(f"{root}/"):
        text = text[len(root) + 1 :]
    while text.startswith("../"):
        text = text[3:]
    inside = not base.startswith("/") and ".." not in base.split("/")
    tried = [posixpath.join(base, text)] if inside and base else []
    if text.startswith("/") and base and text.startswith(f"{base.rstrip('/')}/"):
        text = text[len(base.rstrip("/")) + 1 :]
    found = [source.below(name, path) for name in (*tried, text)]
    return next((one for one in found if one.exists()), found[-1])


def _photos(
    source: Source,
    names: list[str],
    classes: tuple[ClassInfo, ...],
    where: str,
    *,
    is_test: bool,
) -> Iterator[Photo]:
    above = os.path.commonpath([os.path.dirname(name) or "." for name in names])
    label_of = {info.category_id: info.name for info in classes}
    labelled = [_labels_of(name) for name in names]
    is_annotated = not is_test or any((source.root / own).is_file() for own in labelled)
    for name, labels in zip(names, labelled, strict=True):
        image = source.find(name, [""], where)
        size = image and source.size_of(image, where=str(image))
        if not size:
            continue
        path, objects = source.root / labels, []
        if path.is_file():
            objects = list(_objects(source, path, size, label_of))
        yield Photo(
            image=image,
            name=os.path.relpath(name, above).replace(os.sep, "/"),
            size=size,
            objects=tuple(objects),
            is_annotated=is_annotated,
        )


def _labels_of(name: str) -> str:
    """Of an image, its file of labels: below ``labels`` where the image is below ``images``."""
    parts = PurePosixPath(name).with_suffix(".txt").parts
    places = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts = (*parts[: places[-1]], "labels", *parts[places[-1] + 1 :])
    return "/".join(parts)


def _objects(
    source: Source, path: Path, size: tuple[int, int], label_of: Mapping[int, str]
) -> Iterator[Drawn]:
    for number, line in enumerate(source.lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            label, polygon = _object(line.split(), size, label_of)
        except (ValueError, OverflowError) as error:
            source.report(FileError("malformed entry", where, f"{error}."))
            continue
        yield Drawn(label=label, outline=[polygon], where=where)


def _object(
    words: list[str], size: tuple[int, int], label_of: Mapping[int, str]
) -> tuple[str, list[float]]:
    """The class and the polygon in pixels of a line.

    Raises:
        ValueError: for what is no polygon of a class.
    """
    if len(words) == 5:
        raise ValueError("is a box, not an outline; export the data set for segmentation")
    shares = [float(word) for word in words[1:]]
    if len(shares) < 6 or len(shares) % 2:
        raise ValueError(
            f"has {len(shares)} number(s) after the class; a polygon needs x and y of three corners"
        )
    if not all(-_SLACK <= share <= 1 + _SLACK for share in shares):
        raise ValueError("has numbers beyond 0 to 1; divide x by the width and y by the height")
    if int(words[0]) not in label_of:
        raise ValueError(f"class {words[0]} is not among the names in data.yaml; add it there")
    scale = (size[1], size[0])
    polygon = [min(max(s, 0.0), 1.0) * scale[k % 2] for k, s in enumerate(shares)]
    return label_of[int(words[0])], polygon
