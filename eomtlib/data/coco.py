"""COCO panoptic: images with segment maps, from the folder layout or the official zips.

The task is Kirillov et al.'s (Panoptic Segmentation, CVPR 2019), the format is described at
https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from eomtlib.data.archives import FolderStore, Store, ZipStore
from eomtlib.data.coco_annotations import AnnotationIndex
from eomtlib.data.pictures import decode_image
from eomtlib.data.segment_png import decode_segments
from eomtlib.errors import DataError, check_choice
from eomtlib.structures import ClassInfo, SegmentMap

SPLITS = ("train", "val")
ON_EMPTY = ("skip", "error")
ANNOTATIONS_ZIP = "panoptic_annotations_trainval2017.zip"


class PanopticDataset(Protocol):
    """What the loaders and the evaluation need of a data set.

    Attributes:
        classes: in the order of the class indices.
        image_ids: ``[N]`` int64, as the annotation file gives them.
        sizes: ``[N, 2]`` int32, height and width.
    """

    classes: tuple[ClassInfo, ...]
    image_ids: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int: ...

    def read(self, index: int) -> tuple[Tensor, SegmentMap]:
        """The image ``[3, H, W]`` uint8 and its segments ``[1, H, W]``, both at full size."""


class CocoPanoptic:
    """One split of COCO panoptic, or of any data set in its layout.

    Accepted in ``root``, in any mixture:

    - images: ``train2017/*.jpg`` or ``train2017.zip``
    - annotations: ``annotations/panoptic_train2017.json`` with
      ``annotations/panoptic_train2017/*.png`` or ``annotations/panoptic_train2017.zip``, or the
      official ``panoptic_annotations_trainval2017.zip``, which holds both

    Classes, and which of them are things, come from the annotation file, in its order.

    Args:
        root: the folder.
        split: ``train`` or ``val``.
        on_empty: what to do with images that have no segment at all, of which full COCO has a
            few: ``skip`` leaves them out with one warning, ``error`` raises.

    Attributes:
        classes, image_ids, sizes: as in ``PanopticDataset``.
        root, split: as given.

    Raises:
        ConfigurationError: for an unknown split or ``on_empty``.
        DataError: when a part is missing or the annotation file cannot be used.
    """

    def __init__(self, root: str | Path, split: str, *, on_empty: str = "skip") -> None:
        check_choice("split", split, SPLITS)
        check_choice("on_empty", on_empty, ON_EMPTY)
        self.root, self.split = Path(root).expanduser(), split
        self._images, annotations, self._maps = _open_parts(self.root, split)
        name = f"panoptic_{split}2017.json"
        self._json_name = annotations.where(name)
        index = AnnotationIndex(annotations.read(name), self._json_name)
        self.classes = index.classes
        keep = index.counts > 0
        if not keep.all():
            self._report_empty(index, keep, on_empty)
        if not keep.any():
            raise DataError(f"{self._json_name}: lists no image with segments; nothing to read.")
        self.image_ids, self.sizes = index.image_ids[keep], index.sizes[keep]
        self._image_names, self._map_names = index.image_names[keep], index.map_names[keep]
        self._starts, self._counts = index.starts[keep], index.counts[keep]
        self._ids, self._labels, self._is_crowd = index.ids, index.labels, index.is_crowd
        _check_present(self._images, self._image_names, self._json_name)
        _check_present(self._maps, self._map_names, self._json_name)

    def __len__(self) -> int:
        return len(self.image_ids)

    def read(self, index: int) -> tuple[Tensor, SegmentMap]:
        """Decodes one image and its segment map.

        Args:
            index: position in the data set.

        Returns:
            The image ``[3, H, W]`` uint8 (RGB; a view of interleaved memory) and its segments
            ``[1, H, W]`` in the order of the annotation file. Crowds are kept.

        Raises:
            DataError: when a file is damaged or disagrees with the annotation file.
        """
        size = (int(self.sizes[index, 0]), int(self.sizes[index, 1]))
        image_name, map_name = self._image_names[index].decode(), self._map_names[index].decode()
        image = decode_image(
            self._images.read(image_name),
            size,
            where=self._images.where(image_name),
            json_name=self._json_name,
        )
        span = slice(self._starts[index], self._starts[index] + self._counts[index])
        ids = decode_segments(
            self._maps.read(map_name),
            size,
            self._ids[span],
            where=self._maps.where(map_name),
            json_name=self._json_name,
        )
        segments = SegmentMap(
            ids=torch.from_numpy(ids)[None],
            labels=torch.from_numpy(self._labels[span].astype(np.int64)),
            is_crowd=torch.from_numpy(self._is_crowd[span].copy()),
        )
        return torch.from_numpy(image).permute(2, 0, 1), segments

    def _report_empty(self, index: AnnotationIndex, keep: np.ndarray, on_empty: str) -> None:
        empty = np.flatnonzero(~keep)
        first = self._images.where(index.image_names[empty[0]].decode())
        text = f"{self._json_name}: {len(empty)} image(s) have no segments, the first is {first}"
        if on_empty == "error":
            raise DataError(f"{text}; annotate or remove them, or leave them out: on_empty='skip'.")
        warnings.warn(f"{text}; left out (on_empty='error' refuses them).", stacklevel=3)


def _open_parts(root: Path, split: str) -> tuple[Store, Store, Store]:
    """The stores of the images, of the JSON file and of the PNGs."""
    images = f"{split}2017"
    panoptic = f"panoptic_{split}2017"
    folder, outer = root / "annotations", root / ANNOTATIONS_ZIP

    def fail(part: str, *layouts: str) -> DataError:
        listed = ", or ".join(layouts)
        return DataError(
            f"{root}: no {part} for split={split!r}. Expected {listed}; set data_path to the "
            "folder that holds them (downloads: https://cocodataset.org/#download)."
        )

    if (root / images).is_dir():
        image_store: Store = FolderStore(root / images)
    elif (root / f"{images}.zip").is_file():
        image_store = ZipStore(root / f"{images}.zip", images)
    else:
        raise fail("images", f"the folder {images}/", f"{images}.zip")

    archive = ZipStore(outer, "annotations") if outer.is_file() else None
    if (folder / f"{panoptic}.json").is_file():
        json_store: Store = FolderStore(folder)
    elif archive is not None and f"{panoptic}.json" in archive:
        json_store = archive
    else:
        name = f"annotations/{panoptic}.json"
        raise fail("panoptic annotation file", name, f"{ANNOTATIONS_ZIP} with that file in it")

    if (folder / panoptic).is_dir():
        map_store: Store = FolderStore(folder / panoptic)
    elif (folder / f"{panoptic}.zip").is_file():
        map_store = ZipStore(folder / f"{panoptic}.zip", panoptic)
    elif archive is not None and f"{panoptic}.zip" in archive:
        map_store = archive.nested(f"{panoptic}.zip", panoptic)
    else:
        name = f"annotations/{panoptic}"
        raise fail("panoptic PNGs", f"the folder {name}/", f"{name}.zip", ANNOTATIONS_ZIP)
    return image_store, json_store, map_store


def _check_present(store: Store, wanted: np.ndarray, json_name: str) -> None:
    there = np.array([name.encode() for name in store.names()], dtype=np.bytes_)
    missing = np.setdiff1d(wanted, there)
    if len(missing):
        raise DataError(
            f"{store.where(missing[0].decode())}: missing, with {len(missing) - 1} other file(s) "
            f"that {json_name} lists; fetch them, or cut the annotation file to what is there."
        )
