"""Cityscapes: 19 classes in street scenes (Cordts et al., CVPR 2016), for every task.

The label numbers and colours are those of the publishers' cityscapesScripts (helpers/labels.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from eomtlib.core.errors import check_choice
from eomtlib.core.structures import VOID, ClassInfo, SegmentMap, rgb
from eomtlib.core.words import SPLITS
from eomtlib.data.decoding.archives import Store
from eomtlib.data.decoding.places import Place, open_part
from eomtlib.data.decoding.problems import FileError, Report, refuse
from eomtlib.data.formats.class_masks import MaskFiles

DOWNLOAD = "https://www.cityscapes-dataset.com/downloads/"
IMAGES_ZIP = "leftImg8bit_trainvaltest.zip"
LABELS_ZIP = "gtFine_trainvaltest.zip"

_CLASSES = """
7 804080 road; 8 f423e8 sidewalk; 11 464646 building; 12 66669c wall; 13 be9999 fence;
17 999999 pole; 19 faaa1e traffic light; 20 dcdc00 traffic sign; 21 6b8e23 vegetation;
22 98fb98 terrain; 23 4682b4 sky; 24 dc143c person; 25 ff0000 rider; 26 00008e car;
27 000046 truck; 28 003c64 bus; 31 005064 train; 32 0000e6 motorcycle; 33 770b20 bicycle
"""
_FIRST_THING = 24
_NUM_LABELS = 34
"""Label numbers are 0 to 33; those without a class of the 19 are void."""

CLASSES = tuple(
    ClassInfo(name, int(number) >= _FIRST_THING, int(number), rgb(color))
    for number, color, name in (entry.strip().split(maxsplit=2) for entry in _CLASSES.split(";"))
)
"""In the order of the publishers' train ids."""

_INDEX_OF = {info.category_id: index for index, info in enumerate(CLASSES)}
_INSTANCES = 1000


class CityscapesSemantic(MaskFiles):
    """One split of Cityscapes' finely annotated images.

    Accepted in ``root``, in any mixture: ``leftImg8bit/train/<city>/*_leftImg8bit.png`` or
    ``leftImg8bit_trainvaltest.zip``; ``gtFine/train/<city>/*_gtFine_labelIds.png`` or
    ``gtFine_trainvaltest.zip``.

    Args:
        root: the folder.
        split: ``train`` or ``val``.
        report: as of ``MaskFiles``.

    Raises:
        ConfigurationError: for an unknown split.
        DataError: when a part is missing.
    """

    _kind: ClassVar[str] = "labelIds"

    def __init__(self, root: str | Path, split: str, *, report: Report = refuse) -> None:
        super().__init__(
            *_stores(root, split),
            classes=CLASSES,
            values={number: _INDEX_OF.get(number, VOID) for number in range(_NUM_LABELS)},
            image_suffix="_leftImg8bit.png",
            mask_suffix=f"_gtFine_{self._kind}.png",
            report=report,
        )


class CityscapesPanoptic(CityscapesSemantic):
    """The same images with their segments: stuff, and instances of the 8 classes of things.

    Read from ``*_gtFine_instanceIds.png``, beside the PNGs that ``CityscapesSemantic`` reads. A
    value below 1000 is a label number: of stuff its segment, and of a thing a group that nobody
    told apart, a crowd. Any other is 1000 times the label number plus the instance's. Segments are
    in the order of the values. It is the rule of cityscapesScripts
    (preparation/createPanopticImgs.py).
    """

    _kind = "instanceIds"

    def read_segments(self, index: int) -> SegmentMap:
        """The segments ``[1, H, W]``.

        Raises:
            FileError: for a damaged file, one of another size, or values that stand for nothing.
        """
        values = self.read_values(self._masks, index, modes=("I;16", "I", "L"))
        values = values.astype(np.int64)
        where = self.annotation_of(index)
        if values.max(initial=0) >= _NUM_LABELS * _INSTANCES:
            what = f"holds the value {values.max()}, which stands for no label; fetch it again."
            raise FileError("unknown id", where, what)
        found = np.flatnonzero(np.bincount(values.ravel()))
        numbers = np.where(found < _INSTANCES, found, found // _INSTANCES)
        if numbers.max(initial=0) >= _NUM_LABELS:
            what = f"holds the value {found[numbers.argmax()]}, which stands for no label."
            raise FileError("unknown id", where, f"{what} Fetch it again.")
        labels = np.array([_INDEX_OF.get(number, VOID) for number in numbers.tolist()])
        shown = labels != VOID
        table = np.full(_NUM_LABELS * _INSTANCES, VOID, np.int16)
        table[found[shown]] = np.arange(np.count_nonzero(shown))
        return SegmentMap(
            ids=torch.from_numpy(table[values])[None],
            labels=torch.from_numpy(labels[shown]),
            is_crowd=torch.from_numpy(
                (found[shown] < _INSTANCES) & (numbers[shown] >= _FIRST_THING)
            ),
        )


def _stores(root: str | Path, split: str) -> list[Store]:
    """Files of the images and of the labels."""
    root, check = Path(root).expanduser(), check_choice("split", split, SPLITS)
    return [
        open_part(
            root,
            f"{part} for split={check!r}",
            (Place(f"{folder}/{split}"), Place(archive, f"{folder}/{split}")),
            download=DOWNLOAD,
        )
        for part, folder, archive in (
            ("images", "leftImg8bit", IMAGES_ZIP),
            ("labels", "gtFine", LABELS_ZIP),
        )
    ]
