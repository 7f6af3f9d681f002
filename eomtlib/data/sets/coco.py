"""COCO: panoptic and instance annotations, from the folder layout or the official zips.

The layout is that of https://cocodataset.org/#download.
"""

from __future__ import annotations

from pathlib import Path

from eomtlib.core.errors import check_choice
from eomtlib.core.words import SPLITS
from eomtlib.data.decoding.archives import Store
from eomtlib.data.decoding.places import Place, open_part
from eomtlib.data.decoding.problems import Report, refuse
from eomtlib.data.formats.coco_files import InstanceFiles, PanopticFiles

DOWNLOAD = "https://cocodataset.org/#download"
PANOPTIC_ZIP = "panoptic_annotations_trainval2017.zip"
INSTANCES_ZIP = "annotations_trainval2017.zip"
EMPTY_INSTANCES = {"train": "skip", "val": "keep"}
"""``on_empty`` of instance data: COCO counts what is found in images that have no object."""


class CocoPanoptic(PanopticFiles):
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
        on_empty: as of ``PanopticFiles``.
        report: likewise.

    Attributes:
        classes, image_ids, sizes: as in ``SegmentationDataset``.

    Raises:
        ConfigurationError: for an unknown split.
        DataError: when a part is missing or the annotation file cannot be used.
    """

    def __init__(
        self, root: str | Path, split: str, *, on_empty: str = "skip", report: Report = refuse
    ) -> None:
        check_choice("split", split, SPLITS)
        root = Path(root).expanduser()
        name = f"panoptic_{split}2017"
        images = _open_images(root, split)
        annotations = _open_json(root, f"{name}.json", PANOPTIC_ZIP, "panoptic")
        maps = open_part(
            root,
            f"panoptic PNGs for split={split!r}",
            (
                Place(f"annotations/{name}"),
                Place(f"annotations/{name}.zip", name),
                Place(PANOPTIC_ZIP, "annotations", f"{name}.zip", name),
            ),
            download=DOWNLOAD,
        )
        super().__init__(
            images,
            annotations.read(f"{name}.json"),
            maps,
            json_name=annotations.where(f"{name}.json"),
            on_empty=on_empty,
            report=report,
        )


class CocoInstances(InstanceFiles):
    """One split of COCO's instances: the 80 things, overlapping where they do.

    Accepted in ``root``: images as for ``CocoPanoptic``, and
    ``annotations/instances_train2017.json`` or the official ``annotations_trainval2017.zip``, which
    holds it.

    Args:
        root: the folder.
        split: ``train`` or ``val``.
        on_empty: as of ``PanopticFiles``; None for the split's of ``EMPTY_INSTANCES``.
        report: likewise.

    Attributes:
        classes, image_ids, sizes: as in ``SegmentationDataset``.

    Raises:
        ConfigurationError: for an unknown split.
        DataError: when a part is missing or the annotation file cannot be used.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        on_empty: str | None = None,
        report: Report = refuse,
    ) -> None:
        check_choice("split", split, SPLITS)
        root = Path(root).expanduser()
        name = f"instances_{split}2017.json"
        images = _open_images(root, split)
        annotations = _open_json(root, name, INSTANCES_ZIP, "instance")
        super().__init__(
            images,
            annotations.read(name),
            json_name=annotations.where(name),
            on_empty=on_empty or EMPTY_INSTANCES[split],
            report=report,
        )


def _open_images(root: Path, split: str) -> Store:
    name = f"{split}2017"
    places = (Place(name), Place(f"{name}.zip", name))
    return open_part(root, f"images for split={split!r}", places, download=DOWNLOAD)


def _open_json(root: Path, name: str, archive: str, kind: str) -> Store:
    places = (Place("annotations", holds=name), Place(archive, "annotations", holds=name))
    return open_part(root, f"{kind} annotation file {name}", places, download=DOWNLOAD)
