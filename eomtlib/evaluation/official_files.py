"""Segmentations as files that the data sets' own tools score, written image by image.

COCO's panoptic and instance results: https://cocodataset.org/#format-results. Semantic maps hold
category ids, as the tools of ADE20K and Cityscapes read them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.files.atomic_files import new_folder, write_atomically
from eomtlib.core.run_lengths import RunLengths
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.data.class_colors import class_colors
from eomtlib.data.formats.class_files import class_entries

_Entry = dict[str, Any]
_MAX_INDEX = np.iinfo(np.uint16).max
_JSON = {"panoptic": "panoptic.json", "instance": "instances.json", "semantic": "semantic.json"}
_RESULT = ("image_id", "category_id", "segmentation", "score")


@dataclass(frozen=True)
class ResultImage:
    """An image as results name it.

    Attributes:
        id: as the annotation file gives it.
        file_name: of the image, with folders, separated by ``/``.
        stem: of its own files among the results, with folders, without an ending.
    """

    id: int | str
    file_name: str
    stem: str


def told_apart(file_names: Iterable[str], taken: Mapping[str, str] | None = None) -> dict[str, str]:
    """A ``ResultImage.stem`` for each file: its name, with a number where others have had it.

    Args:
        file_names: with folders, separated by ``/``.
        taken: those that some files have already.
    """
    stems = dict(taken or {})
    used = {stem.casefold() for stem in stems.values()}  # one file on many disks
    for name in file_names:
        if name in stems:
            continue
        own, number = str(PurePosixPath(name).with_suffix("")), 1
        stem = own
        while stem.casefold() in used:
            stem, number = f"{own}-{number}", number + 1
        used.add(stem.casefold())
        stems[name] = stem
    return stems


def save_png(
    pixels: np.ndarray, path: Path, *, palette: np.ndarray | None = None, level: int = 6
) -> None:
    """Writes a PNG, whole or not at all.

    Args:
        pixels: ``[H, W]``, or ``[H, W, 3]`` uint8.
        path: of the file.
        palette: ``[256, 3]`` uint8, colours in which values 0 to 255 are shown, and stay as is.
        level: of compression; 1 takes half the time of 6 for a photo, and 4 % more bytes.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if palette is not None:
        image.putpalette(palette.tobytes())
    write_atomically(path, lambda file: image.save(file, format="png", compress_level=level))


class ResultFiles:
    """Results in a folder; what was added stays, and can be gone on with, however it ends.

    - for ``panoptic``: of each image ``panoptic/STEM.png`` with id = R + 256 G + 65536 B, 0 where
      nothing is; ``panoptic.json`` has the segments
    - for ``instance``: ``instances.json``, masks as compressed run lengths
    - for ``semantic``: of each image ``semantic/STEM.png``, in each pixel the ``category_id``, 8
      bits, or 16 where the ids need them; ``semantic.json`` has neither more nor less than

    ``images`` and ``categories``, which every JSON file has in COCO's form.

    Args:
        folder: a new one, or one that was not finished, with the same task and classes.
        task: ``panoptic``, ``instance`` or ``semantic``.
        classes: of the data set, whose ``category_id`` is what is written.
        in_colors: whether semantic PNGs of 8 bits have a palette, in which viewers show them.

    Attributes:
        classes: as above.
        done: file name of each image that is in it → its stem.
        journal: a file with a line for each of these, to go on from.

    Raises:
        ConfigurationError: for an unknown task, or category ids that the format cannot hold.
    """

    def __init__(
        self, folder: Path, *, task: str, classes: Sequence[ClassInfo], in_colors: bool = False
    ) -> None:
        self._task = check_choice("task", task, _JSON)
        self._folder, self.classes = folder, classes
        self._ids = np.array([info.category_id for info in classes], np.int64)
        if task == "semantic" and len(classes):
            low, high = self._ids.min(), self._ids.max()
            if not 0 <= low <= high <= _MAX_INDEX:
                raise ConfigurationError(
                    f"classes: category ids lie between {low} and {high}, but a semantic PNG "
                    f"holds 0 to {_MAX_INDEX}."
                )
        self._palette = None
        if in_colors and task == "semantic" and self._ids.max(initial=0) < 256:
            self._palette = np.zeros((256, 3), np.uint8)
            self._palette[self._ids] = class_colors(classes)
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = folder / "added.jsonl"
        self.done: dict[str, str] = {}
        if self.journal.exists():
            self._cut_to_whole_lines()
            self.done = {line["image"]["file_name"]: line["stem"] for line in self._lines()}

    def add(self, segmented: Any, image: ResultImage, *, found: Iterable[int] = ()) -> None:
        """Writes the segmentation of an image, as the task's post-processing gives it.

        Args:
            segmented: the segmentation.
            image: whose.
            found: positions of the classes in it, to be had back from ``found``.
        """
        path = self._folder / self._task / f"{image.stem}.png"
        annotations, size = _WRITERS[self._task](segmented, self._ids, path, self._palette)
        for own in annotations:
            own["image_id"] = image.id
            if self._task == "panoptic":
                own["file_name"] = f"{image.stem}.png"
        described = {"id": image.id, "file_name": image.file_name}
        described |= {"height": size[0], "width": size[1]}
        line = {"image": described, "stem": image.stem, "annotations": annotations}
        line["found"] = sorted(set(found))
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.done[image.file_name] = image.stem

    def found(self) -> Iterator[tuple[ResultImage, list[int]]]:
        """Each image that is in it, as it was added, with what ``add`` was told of its classes."""
        for line in self._lines():
            own = line["image"]
            yield ResultImage(own["id"], own["file_name"], line["stem"]), line["found"]

    def finish(self, *, as_list: bool = False) -> None:
        """Writes the JSON file. Once the folder is where it shall be, the journal may go.

        Args:
            as_list: whether that of instances is the list alone that COCO's tools take for results.
        """
        parts = self._list() if as_list and self._task == "instance" else self._object()
        with (self._folder / _JSON[self._task]).open("w", encoding="utf-8") as file:
            file.writelines(parts)

    def _object(self) -> Iterator[str]:
        images = (line["image"] for line in self._lines())
        lists = {"images": images, "categories": class_entries(self.classes)}
        if self._task != "semantic":
            lists["annotations"] = self._annotations()
        yield "{"
        for place, (name, entries) in enumerate(lists.items()):
            yield f'{", " if place else ""}"{name}": '
            yield from _array(entries)
        yield "}\n"

    def _list(self) -> Iterator[str]:
        # Of one with a box, COCO's tools take the box's area for the mask's.
        return _array({name: own[name] for name in _RESULT} for own in self._annotations())

    def _annotations(self) -> Iterator[_Entry]:
        found = (own for line in self._lines() for own in line["annotations"])
        if self._task == "panoptic":
            return found
        return ({"id": number} | own for number, own in enumerate(found, start=1))

    def _lines(self) -> Iterator[dict[str, Any]]:
        if self.journal.exists():
            with self.journal.open(encoding="utf-8") as file:
                yield from map(json.loads, file)

    def _cut_to_whole_lines(self) -> None:
        """What was interrupted in the middle of a line was not added."""
        with self.journal.open("r+b") as file:
            whole = 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
            file.truncate(whole)


@contextmanager
def exporting(
    folder: str | Path,
    *,
    task: str,
    classes: Sequence[ClassInfo],
    image_of: Callable[[int], ResultImage] | None = None,
) -> Iterator[Callable[[Any, int], None]]:
    """A folder of results, of whatever ``evaluate`` goes over or anybody else adds.

    The folder is there once everything is in it; if anything goes wrong, it is not. What is in it
    says ``ResultFiles``; ``instances.json`` is a list.

    Args:
        folder: a new one.
        task: as of ``ResultFiles``.
        classes: likewise.
        image_of: an image's id, as the data set numbers it → how results name it; by default as
            COCO's images are called.

    Yields:
        A function that adds an image, given its segmentation and its id.

    Raises:
        ConfigurationError: when the folder exists, or as of ``ResultFiles``.
    """
    with new_folder(Path(folder)) as inside:
        results = ResultFiles(inside, task=task, classes=classes)
        image_of = image_of or _as_in_coco
        yield lambda segmented, image_id: results.add(segmented, image_of(image_id))
        results.finish(as_list=True)
        results.journal.unlink(missing_ok=True)


def _as_in_coco(image_id: int) -> ResultImage:
    return ResultImage(image_id, f"{image_id:012d}.jpg", f"{image_id:012d}")


_Written = tuple[list[_Entry], tuple[int, int]]
"""Annotations without the image's id, and the image's height and width."""


def _panoptic(
    segmented: Mapping[str, Any], ids: np.ndarray, path: Path, palette: np.ndarray | None
) -> _Written:
    segment_ids, infos = segmented["segmentation"].cpu(), segmented["segments_info"]
    # The bytes of a number, the lowest first.
    colours = (segment_ids.numpy() + 1).astype("<u4").view(np.uint8)
    save_png(colours.reshape(*segment_ids.shape, 4)[..., :3], path)
    none = torch.zeros(len(infos), dtype=torch.int64)
    masks = RunLengths.of_segments(SegmentMap(segment_ids[None], none, none.bool()))
    described = zip(infos, _described(infos, masks, ids), strict=True)
    segments_info = [{"id": info["id"] + 1, **own} for info, own in described]
    return [{"segments_info": segments_info}], masks.size


def _instance(
    segmented: Mapping[str, Any], ids: np.ndarray, path: Path, palette: np.ndarray | None
) -> _Written:
    masks = RunLengths.of(segmented["segmentation"])
    annotations = list(_described(segmented["segments_info"], masks, ids))
    for own, counts in zip(annotations, masks.counts, strict=True):
        own["segmentation"] = {"size": list(masks.size), "counts": counts.decode("ascii")}
    return annotations, masks.size


def _semantic(
    segmented: Tensor, ids: np.ndarray, path: Path, palette: np.ndarray | None
) -> _Written:
    values = ids.astype(np.uint8 if ids.max(initial=0) < 256 else np.uint16)
    save_png(values[segmented.cpu().numpy()], path, palette=palette)
    return [], (segmented.shape[0], segmented.shape[1])


_WRITERS = {"panoptic": _panoptic, "instance": _instance, "semantic": _semantic}


def _described(
    infos: Sequence[Mapping[str, Any]], masks: RunLengths, ids: np.ndarray
) -> Iterator[_Entry]:
    """What both JSON files say of a segment."""
    for info, area, box in zip(infos, masks.areas(), masks.boxes(), strict=True):
        yield {
            "category_id": int(ids[info["label_id"]]),
            "score": info["score"],
            "area": area,
            "bbox": box,
            "iscrowd": 0,
        }


def _array(entries: Iterable[_Entry]) -> Iterator[str]:
    """A JSON list, an entry a line."""
    yield "["
    for place, entry in enumerate(entries):
        yield (",\n" if place else "\n") + json.dumps(entry)
    yield "\n]"
