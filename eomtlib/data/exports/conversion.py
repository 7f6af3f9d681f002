"""From a tool's export to the layout of ``sets.custom``: nothing is there until all is."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np
from PIL import Image
from pycocotools import mask as rle_masks

from eomtlib.core.console import progress
from eomtlib.core.errors import ConfigurationError, DataError, check_choice
from eomtlib.core.files.atomic_files import new_folder
from eomtlib.core.words import CORNERS, EXIF, EXPORTS, ON_BAD
from eomtlib.data.decoding.problems import FileError
from eomtlib.data.exports.coco_json import is_coco, is_roboflow, open_coco, open_roboflow
from eomtlib.data.exports.cvat import is_cvat, open_cvat
from eomtlib.data.exports.drawn import Drawn, Export, Photo, Source, through_centres
from eomtlib.data.exports.labelme import is_labelme, open_labelme
from eomtlib.data.exports.voc import is_voc, open_voc
from eomtlib.data.exports.yolo import is_yolo, open_yolo
from eomtlib.data.formats.class_files import class_entries
from eomtlib.data.formats.coco_index import EntryError
from eomtlib.data.formats.instance_index import check_outline

_READERS: dict[str, tuple[Callable[[Path], bool], Callable[[Source], Export]]] = {
    "roboflow": (is_roboflow, open_roboflow),
    "yolo": (is_yolo, open_yolo),
    "cvat": (is_cvat, open_cvat),
    "voc": (is_voc, open_voc),
    "coco": (is_coco, open_coco),
    "labelme": (is_labelme, open_labelme),
}
"""Of ``EXPORTS``: whether a folder is one, and what reads it; tried in this order."""


@dataclass
class Counts:
    """What was written of a split.

    Attributes:
        images: in all.
        objects: of each class, or segments of a map.
        is_annotated: False for a test split of images alone.
    """

    images: int = 0
    objects: Counter[str] = field(default_factory=Counter)
    is_annotated: bool = False


def convert(
    root: str | Path,
    output: str | Path,
    *,
    form: str = "auto",
    val_share: float | None = None,
    exif: str = "apply",
    on_bad: str = "refuse",
    corners: str = "edges",
    say: Callable[[str], None] = print,
) -> dict[str, Counts]:
    """Writes a data set that ``dataset="custom"`` reads. Images are linked, or copied as they are.

    Args:
        root: the folder of the export, unpacked.
        output: a new folder.
        form: of ``EXPORTS``, or ``auto``.
        val_share: of the training images, how many make the ``val`` split of an export without
            one, every tenth for 0.1; 0 for none.
        exif: ``apply`` where images were annotated as their EXIF data turn them.
        on_bad: ``refuse`` writes nothing where anything is wrong; ``skip`` leaves it out.
        corners: ``edges`` where outlines run along the edges of pixels, ``centres`` where they run
            through the outermost pixels, as OpenCV's contours do.
        say: is given a line for each thing that is wrong or worth knowing.

    Returns:
        Split → what was written of it.

    Raises:
        ConfigurationError: for a folder that is no such export, one that exists, or one without a
            ``val`` split where nobody said what to do.
        DataError: when the export cannot be used.
    """
    check_choice("exif", exif, EXIF)
    check_choice("on_bad", on_bad, ON_BAD)
    check_choice("corners", corners, CORNERS)
    root, output = Path(root).expanduser(), Path(output).expanduser()
    problems: list[FileError] = []

    def report(error: FileError) -> None:
        problems.append(error)
        say(f"{error.kind}: {error}")

    source = Source(root, report, lambda text: say(f"note: {text}"), exif == "apply")
    export = _READERS[_form(root, form)][1](source)
    share = _share(export, root, val_share)
    with new_folder(output) as folder:
        if export.form == "semantic":
            listed = class_entries(export.classes)
            (folder / "classes.json").write_bytes(msgspec.json.encode(listed))
        counts = _write(export, folder, source, share, corners)
        if problems and on_bad == "refuse":
            raise DataError(
                f"{root}: {len(problems)} finding(s), as listed; nothing is written. Correct them, "
                "or leave out what they are of with --on-bad skip."
            )
        if not counts.get("train", Counts()).images:
            source.remark("there is no training image")
    return counts


def _form(root: Path, form: str) -> str:
    check_choice("format", form, EXPORTS)
    if not root.is_dir():
        what = "unpack it, and name the folder" if root.is_file() else "name the export's folder"
        raise ConfigurationError(f"{root}: is no folder; {what}.")
    if form != "auto":
        return form
    for name, (is_one, _) in _READERS.items():
        if is_one(root):
            return name
    raise ConfigurationError(
        f"{root}: is no export that is known: no data.yaml (yolo), no _annotations.coco.json "
        "(roboflow), no annotations.xml (cvat), no SegmentationClass (voc), no "
        "annotations/instances_*.json (coco), no JSON files with shapes (labelme). Name the folder "
        "that holds these."
    )


def _share(export: Export, root: Path, share: float | None) -> float:
    """Of the training images, what becomes the ``val`` split.

    Raises:
        ConfigurationError: when there is one, or none and nobody said what to do.
    """
    if "val" in export.splits or "train" not in export.splits:
        if share:
            raise ConfigurationError(f"val_share={share}: {root} has its own val; leave it out.")
        return 0.0
    if share is None:
        raise ConfigurationError(
            f"{root}: has no val split, which every training is evaluated on; take it out of the "
            "training images with --val-share 0.1, or convert them alone with --val-share 0."
        )
    if not 0 <= share < 1:
        raise ConfigurationError(f"val_share={share} must lie in [0, 1).")
    return share


def _write(
    export: Export, folder: Path, source: Source, share: float, corners: str
) -> dict[str, Counts]:
    written: dict[str, _Split] = {}
    for split, read in export.splits.items():
        for number, photo in enumerate(progress(read(), f"converting {split}", delay=3)):
            # Of each 1 / share images the last, whatever their number.
            is_taken = split == "train" and int((number + 1) * share) > int(number * share)
            own = "val" if is_taken else split
            if own not in written:
                written[own] = _Split(folder, own, export, source, corners)
            written[own].add(photo)
    for one in written.values():
        one.finish()
    return {split: one.counts for split, one in written.items()}


class _Split:
    """One split, written image by image.

    Args:
        folder: of the data set.
        split: its name.
        export: that it is of.
        source: that is told what is wrong.
        corners: as of ``convert``.

    Attributes:
        counts: what was written.
    """

    def __init__(
        self, folder: Path, split: str, export: Export, source: Source, corners: str
    ) -> None:
        self.counts = Counts()
        self._has_centres = corners == "centres"
        self._folder, self._split, self._form, self._source = folder, split, export.form, source
        self._classes = export.classes
        self._number_of = {info.name: info.category_id for info in export.classes}
        # As text, which takes less room than their objects.
        self._images: list[bytes] = []
        self._annotations: list[bytes] = []
        self._taken: set[str] = set()
        self._invisible: list[str] = []

    def add(self, photo: Photo) -> None:
        """Links the image, and notes what is on it."""
        stem = str(PurePosixPath(photo.name).with_suffix(""))
        # With maps, whose names end in .png; and on many disks case tells no files apart.
        key = (photo.name if self._form == "instance" else stem).casefold()
        if key in self._taken:
            where = f"{self._source.root}: {photo.name}"
            what = f"another image of {self._split} has that name; rename one of them."
            self._source.report(FileError("duplicate id", where, what))
            return
        self._taken.add(key)
        _link(photo.image, self._folder / "images" / self._split / photo.name)
        self.counts.images += 1
        self.counts.is_annotated |= photo.is_annotated
        number = len(self._images) + 1
        described = {"id": number, "file_name": photo.name}
        described |= {"height": photo.size[0], "width": photo.size[1]}
        self._images.append(msgspec.json.encode(described))
        for one in photo.objects:
            self._add_object(one, photo.size, number)
        if photo.painted is not None:
            self._add_map(photo, f"{stem}.png", number)

    def finish(self) -> None:
        """Writes the annotation file; of a split that is not annotated, its images and classes."""
        if self._invisible:
            where = self._invisible[0]
            text = f"{len(self._invisible)} object(s) have no pixel and are left out, first {where}"
            self._source.remark(f"{self._split}: {text}")
        if self._form == "semantic":
            return
        classes = list(map(msgspec.json.encode, class_entries(self._classes)))
        lists = {"images": self._images, "categories": classes}
        if self.counts.is_annotated:
            lists["annotations"] = self._annotations
        text = b",\n".join(
            b'"%s": [\n%s\n]' % (name.encode(), b",\n".join(own)) for name, own in lists.items()
        )
        (self._folder / f"{self._split}.json").write_bytes(b"{%s}\n" % text)

    def _add_object(self, one: Drawn, size: tuple[int, int], image: int) -> None:
        try:
            check_outline(one.outline, size)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            kind = error.kind if isinstance(error, EntryError) else "malformed entry"
            self._source.report(FileError(kind, one.where, f"{error}; draw it again."))
            return
        outline = one.outline
        if self._has_centres and isinstance(outline, list):
            outline = through_centres(outline, size)
        encoded = _encoded(outline, size)
        area = int(rle_masks.area(encoded))
        if not area:
            self._invisible.append(one.where)
            return
        self.counts.objects[one.label] += 1
        entry = {"id": len(self._annotations) + 1, "image_id": image}
        entry |= {"category_id": self._number_of[one.label], "iscrowd": int(one.is_crowd)}
        entry |= {"area": area, "bbox": rle_masks.toBbox(encoded).tolist()}
        self._annotations.append(msgspec.json.encode(entry | {"segmentation": outline}))

    def _add_map(self, photo: Photo, name: str, image: int) -> None:
        painted = photo.painted
        path = self._folder / "masks" / self._split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = [int(number) for number in np.unique(painted.ids) if number in painted.labels]
        self.counts.objects.update(painted.labels[number] for number in shown)
        if self._form == "semantic":
            Image.fromarray(painted.ids.astype(np.uint8)).save(path)
            return
        # The bytes of a number, the lowest first.
        colours = painted.ids.astype("<u4")[..., None].view(np.uint8)
        Image.fromarray(np.ascontiguousarray(colours[..., :3])).save(path)
        segments = [
            {"id": number, "category_id": self._number_of[painted.labels[number]], "iscrowd": 0}
            for number in shown
        ]
        entry = {"image_id": image, "file_name": name, "segments_info": segments}
        self._annotations.append(msgspec.json.encode(entry))


def _encoded(outline: Any, size: tuple[int, int]) -> dict[str, Any]:
    if isinstance(outline, list) or isinstance(outline["counts"], list):
        made = rle_masks.frPyObjects(outline, *size)
        return rle_masks.merge(made) if isinstance(made, list) else made
    return outline


def _link(image: Path | bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, bytes):
        target.write_bytes(image)
        return
    with suppress(OSError):  # of another disk, or one without links
        os.link(image.resolve(), target)
        return
    shutil.copyfile(image, target)
