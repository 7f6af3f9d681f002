"""CVAT for images 1.1 (https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/).

``annotations.xml``, and images in ``images`` or beside it, in folders of their subsets. Datumaro's
has a file for each split, such as ``train.xml``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from eomtlib.core.errors import DataError
from eomtlib.data.decoding.problems import FileError
from eomtlib.data.decoding.xml_nodes import Node, parse_xml
from eomtlib.data.exports.drawn import (
    Drawn,
    Export,
    Photo,
    Source,
    ellipse,
    joined,
    outline_of,
    rectangle,
    rotated,
    split_named,
    things,
)

_XML = "annotations.xml"
_WITHOUT_AREA = ("polyline", "points", "tag", "cuboid", "skeleton")
_CROWD = ("is_crowd", "iscrowd")


def is_cvat(root: Path) -> bool:
    """Whether a folder is such an export."""
    return bool(_files(root))


def open_cvat(source: Source) -> Export:
    """Reads the XML files.

    Polygons, masks, boxes and ellipses are outlines, each whole, whatever lies over it. Those of
    one label and one ``group_id`` are one object. An attribute ``is_crowd`` makes a crowd.

    Raises:
        DataError: when a file is no such XML.
    """
    paths = _files(source.root) or [source.root / _XML]
    documents = {path: _parsed(source, path) for path in paths}
    splits: dict[str, list[tuple[str, Node]]] = defaultdict(list)
    for path, document in documents.items():
        for image in document.named("image"):
            subset = image.values.get("subset", "" if path.name == _XML else path.stem)
            splits[split_named(subset)].append((str(path), image))
    images = [image for own in splits.values() for _, image in own]
    labels = [
        name.text.strip()
        for document in documents.values()
        for label in document.below("label")
        if not _is_skeleton_part(label)
        for name in label.named("name")
    ]
    used = {node.values.get("label", "") for image in images for node in image.nodes}
    known = dict.fromkeys(labels) or dict.fromkeys(sorted(used - {""}))
    kinds = Counter(node.name for image in images for node in image.nodes)
    source.leave_out(kinds, _WITHOUT_AREA)
    if kinds["box"]:
        source.remark(f"{kinds['box']} box(es) are taken for the outlines of their objects")
    return Export(
        form="instance",
        classes=things(known),
        splits={
            split: partial(_photos, source, own, frozenset(known)) for split, own in splits.items()
        },
    )


def _files(root: Path) -> list[Path]:
    if (root / _XML).is_file():
        return [root / _XML]
    found = []
    for path in sorted(root.glob("*.xml")):
        with suppress(OSError), path.open("rb") as file:
            if b"<annotations" in file.read(1024):
                found.append(path)
    return found


def _parsed(source: Source, path: Path) -> Node:
    document = parse_xml(source.read(path), str(path))
    if document.name != "annotations":
        raise DataError(f"{path}: is no export of CVAT; export as 'CVAT for images 1.1'.")
    for track in document.below("track"):
        raise DataError(
            f"{path}:{track.line}: holds tracks of a video; export as 'CVAT for images 1.1'."
        )
    return document


def _is_skeleton_part(label: Node) -> bool:
    return any(node.text.strip() for node in label.named("parent"))


def _photos(
    source: Source, images: list[tuple[str, Node]], known: frozenset[str]
) -> Iterator[Photo]:
    for where, node in images:
        place = f"{where}:{node.line}"
        try:
            name = source.below(node.values["name"], place).relative_to(source.root).as_posix()
            said = int(node.values["height"]), int(node.values["width"])
        except (KeyError, ValueError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            source.report(FileError("malformed entry", place, f"an image lacks {error}."))
            continue
        subset = node.values.get("subset", "")
        folders = [f"images/{subset}", subset] if subset else []
        image = source.find(name, [*folders, "images", ""], place)
        size = image and source.size_of(image, where=place, said=said)
        if not size:
            continue
        objects = []
        for shape in node.nodes:
            own = f"{where}:{shape.line}"
            try:
                if shape.name in _OUTLINES:
                    objects.append(_drawn(shape, size, known, where=own))
            except KeyError as error:
                source.report(FileError("malformed entry", own, f"{shape.name} lacks {error}."))
            except (ValueError, OverflowError) as error:
                source.report(FileError("malformed entry", own, f"{shape.name}: {error}."))
        yield Photo(image=image, name=name, size=size, objects=joined(objects, size))


def _drawn(shape: Node, size: tuple[int, int], known: frozenset[str], *, where: str) -> Drawn:
    label = shape.values["label"]
    if label not in known:
        raise ValueError(f"label {label!r} is not among the labels of the task")
    said = {node.values.get("name", ""): node.text.strip() for node in shape.named("attribute")}
    return Drawn(
        label=label,
        outline=_OUTLINES[shape.name](shape, size),
        where=where,
        is_crowd=any(said.get(name, "").lower() in ("true", "1") for name in _CROWD),
        group=shape.values.get("group_id") or None,
    )


def _polygon(shape: Node, size: tuple[int, int]) -> list[list[float]]:
    numbers = [float(n) for point in shape.values["points"].split(";") for n in point.split(",")]
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError("needs x and y of three corners")
    return [numbers]


def _box(shape: Node, size: tuple[int, int]) -> list[list[float]]:
    left, top, right, bottom = (float(shape.values[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
    centre = (left + right) / 2, (top + bottom) / 2
    return [rotated(rectangle(left, top, right, bottom), centre, _angle(shape))]


def _ellipse(shape: Node, size: tuple[int, int]) -> list[list[float]]:
    x, y, across, down = (float(shape.values[key]) for key in ("cx", "cy", "rx", "ry"))
    return [rotated(ellipse((x, y), (across, down)), (x, y), _angle(shape))]


def _mask(shape: Node, size: tuple[int, int]) -> dict:
    """Run lengths along the rows of a box, background first."""
    left, top, width, height = (
        int(float(shape.values[key])) for key in ("left", "top", "width", "height")
    )
    if not (0 <= left < left + width <= size[1] and 0 <= top < top + height <= size[0]):
        raise ValueError("lies outside of its image")
    counts = np.array([int(count) for count in shape.values["rle"].split(",")], np.int64)
    if counts.min() < 0 or counts.sum() != width * height:
        raise ValueError(f"run lengths do not add up to {height} × {width} pixels")
    runs = np.arange(len(counts)) % 2 == 1
    return outline_of(runs.repeat(counts).reshape(height, width), (top, left), size)


def _angle(shape: Node) -> float:
    return float(shape.values.get("rotation", 0))


_OUTLINES = {"polygon": _polygon, "box": _box, "ellipse": _ellipse, "mask": _mask}
