"""LabelMe's files (https://github.com/wkentaro/labelme): a JSON file for each image.

Folders named train, val and test are splits. A ``labels.txt`` gives the order of the classes;
else it is that of their names.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from eomtlib.core.errors import DataError
from eomtlib.data.decoding.image_files import SUFFIXES, open_image
from eomtlib.data.decoding.names import files_below
from eomtlib.data.decoding.problems import FileError
from eomtlib.data.exports.drawn import (
    Drawn,
    Export,
    Photo,
    Source,
    ellipse,
    joined,
    outline_of,
    rectangle,
    split_named,
    things,
)

_LABELS = "labels.txt"
_NO_CLASS = ("__ignore__", "_background_")
"""Labels that LabelMe's own converters take for void and for what is between objects."""

_WITHOUT_AREA = ("line", "linestrip", "point", "points")


def is_labelme(root: Path) -> bool:
    """Whether a folder, or one of its splits, holds such files."""
    return any(_is_own(path) for path in root.rglob("*.json"))


def open_labelme(source: Source) -> Export:
    """Reads every JSON file for its labels; images when they are asked for.

    Polygons, rectangles, circles and masks are outlines, each whole, whatever lies over it. Those
    of one label and one ``group_id`` are one object. An image whose file has no shape is
    background; one without a file is left out, but for a test split that has none at all.

    Raises:
        DataError: when no file holds a label.
    """
    names = files_below(source.root)
    images: dict[str, set[str]] = defaultdict(set)
    for name in names:
        if PurePosixPath(name).suffix.lower() in SUFFIXES:
            images[_split_of(name)].add(name)
    files: dict[str, list[str]] = defaultdict(list)
    kinds: Counter[str] = Counter()
    labels: set[str] = set()
    is_there: set[str] = set()
    for name in (name for name in names if name.endswith(".json")):
        split, described = _split_of(name), _parsed(source, name)
        if described != {}:
            is_there.add(split)
        if described:
            files[split].append(name)
            shapes = _shapes(described)
            labels |= {str(shape.get("label")) for shape in shapes if _has_area(shape)}
            kinds.update(str(shape.get("shape_type")) for shape in shapes)
    listed = source.root / _LABELS
    order = source.lines(listed) if listed.is_file() else []
    known = [label.strip() for label in order if label.strip()]
    known += sorted(labels.difference(known))
    known = [label for label in known if label not in _NO_CLASS]
    if not known:
        raise DataError(f"{source.root}: no JSON file in it holds a labelled shape.")
    source.leave_out(kinds, _WITHOUT_AREA)
    return Export(
        form="instance",
        classes=things(known),
        splits={
            split: partial(_photos, source, files[split], images[split], is_test=split == "test")
            for split in ("train", "val", "test")
            if split in is_there or (split == "test" and images[split])
        },
    )


def _split_of(name: str) -> str:
    parts = PurePosixPath(name).parts[:-1]
    return next((split_named(part) for part in parts if split_named(part) != "train"), "train")


def _is_own(path: Path) -> bool:
    try:
        described = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return _has_shapes(described)


def _has_shapes(described: Any) -> bool:
    return isinstance(described, dict) and {"shapes", "imagePath"} <= described.keys()


def _parsed(source: Source, name: str) -> dict[str, Any] | None:
    """What a JSON file holds; nothing for one of something else, and None for a damaged one."""
    path = source.root / name
    try:
        described = json.loads(source.read(path))
    except (ValueError, RecursionError) as error:
        what = f"is no valid JSON ({error}); save the annotation again."
        source.report(FileError("malformed entry", str(path), what))
        return None
    return described if _has_shapes(described) else {}


def _shapes(described: dict[str, Any]) -> list[dict[str, Any]]:
    shapes = described["shapes"]
    return (
        [shape for shape in shapes if isinstance(shape, dict)] if isinstance(shapes, list) else []
    )


def _has_area(shape: dict[str, Any]) -> bool:
    return shape.get("shape_type") not in _WITHOUT_AREA and shape.get("label") not in _NO_CLASS


def _photos(
    source: Source, files: list[str], images: set[str], *, is_test: bool
) -> Iterator[Photo]:
    seen = set()
    for name in files:
        described, where = _parsed(source, name), str(source.root / name)
        if not described:  # it has changed since
            continue
        image, own = _image(source, name, described)
        if image is None:
            continue
        seen.add(own)
        said = described.get("imageHeight"), described.get("imageWidth")
        size = source.size_of(image, where=where, said=said if all(said) else None)
        if not size:
            continue
        objects = list(_objects(source, where, _shapes(described), size))
        yield Photo(image=image, name=_in_split(own), size=size, objects=joined(objects, size))
    unnamed = sorted(images - seen)
    if unnamed and (files or not is_test):
        text = f"{len(unnamed)} image(s) have no JSON file and are left out, first {unnamed[0]}"
        source.remark(text)
        return
    for own in unnamed:
        image = source.root / own
        size = source.size_of(image, where=str(image))
        if size:
            yield Photo(image=image, name=_in_split(own), size=size, is_annotated=False)


def _in_split(name: str) -> str:
    """Without the folder of the split."""
    parts = PurePosixPath(name).parts
    is_split = len(parts) > 1 and (split_named(parts[0]) != "train" or parts[0] == "train")
    return "/".join(parts[1:] if is_split else parts)


def _image(source: Source, name: str, described: dict[str, Any]) -> tuple[Path | bytes | None, str]:
    """The image of a JSON file, or its content where it is in the file, and its name."""
    where, folder = str(source.root / name), posixpath.dirname(name)
    said = str(described["imagePath"]).replace("\\", "/")
    plain = posixpath.normpath(posixpath.join(folder, said))
    # A path that leads elsewhere is of the machine that wrote it; the image may have come along.
    beside = posixpath.join(folder, posixpath.basename(said))
    own = plain if not plain.startswith(("../", "/")) else beside
    for tried in (own, beside):
        if source.below(tried, where).is_file():
            return source.root / tried, tried
    if not described.get("imageData"):
        return source.find(own, [""], where), own
    try:
        return base64.b64decode(described["imageData"], validate=True), beside
    except (binascii.Error, ValueError, TypeError):
        what = "imageData is damaged, and its image is missing; put the image beside it."
        source.report(FileError("missing image", where, what))
        return None, own


def _objects(
    source: Source, where: str, shapes: list[dict[str, Any]], size: tuple[int, int]
) -> Iterator[Drawn]:
    for position, shape in enumerate(shapes):
        if not _has_area(shape):
            continue
        own = f"{where}: shapes[{position}]"
        try:
            yield Drawn(
                label=str(shape["label"]),
                outline=_outline(shape, size),
                where=own,
                is_crowd=bool((shape.get("flags") or {}).get("iscrowd", False)),
                group=shape.get("group_id"),
            )
        except KeyError as error:
            source.report(FileError("malformed entry", own, f"lacks the field {error}."))
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            source.report(FileError("malformed entry", own, f"{error}; draw it again."))


def _outline(shape: dict[str, Any], size: tuple[int, int]) -> Any:
    points = [(float(x), float(y)) for x, y in shape["points"]]
    kind = shape.get("shape_type") or "polygon"
    if kind == "mask":
        return _mask(shape, points, size)
    if kind in ("rectangle", "circle") and len(points) == 2:
        (x, y), (other_x, other_y) = points
        if kind == "circle":
            radius = math.hypot(other_x - x, other_y - y)
            return [ellipse((x, y), (radius, radius))]
        left, right = sorted((x, other_x))
        top, bottom = sorted((y, other_y))
        return [rectangle(left, top, right, bottom)]
    if len(points) < 3:
        raise ValueError(f"a {kind} of {len(points)} point(s) has no area")
    return [[number for point in points for number in point]]


def _mask(shape: dict[str, Any], points: list[tuple[float, float]], size: tuple[int, int]) -> Any:
    """A PNG in base 64, laid where the first of two corners is."""
    data = base64.b64decode(shape["mask"])
    picture = np.asarray(open_image(data, where="mask").convert("L")) > 0
    return outline_of(picture, (int(points[0][1]), int(points[0][0])), size)
