"""Cityscapes, semantic: 19 classes in street scenes (Cordts et al., CVPR 2016).

The label numbers are those of the publishers' cityscapesScripts (helpers/labels.py).
"""

from __future__ import annotations

from pathlib import Path

from eomtlib.core.errors import check_choice
from eomtlib.core.structures import VOID, ClassInfo
from eomtlib.data.dataset import SPLITS
from eomtlib.data.decoding.places import Place, open_part
from eomtlib.data.decoding.problems import Report, refuse
from eomtlib.data.formats.class_masks import MaskFiles

DOWNLOAD = "https://www.cityscapes-dataset.com/downloads/"
IMAGES_ZIP = "leftImg8bit_trainvaltest.zip"
LABELS_ZIP = "gtFine_trainvaltest.zip"

_CLASSES = """
7 road; 8 sidewalk; 11 building; 12 wall; 13 fence; 17 pole; 19 traffic light; 20 traffic sign;
21 vegetation; 22 terrain; 23 sky; 24 person; 25 rider; 26 car; 27 truck; 28 bus; 31 train;
32 motorcycle; 33 bicycle
"""
_FIRST_THING = 24
_NUM_LABELS = 34
"""Label numbers are 0 to 33; those without a class of the 19 are void."""

CLASSES = tuple(
    ClassInfo(name, int(number) >= _FIRST_THING, int(number))
    for number, name in (entry.strip().split(maxsplit=1) for entry in _CLASSES.split(";"))
)
"""In the order of the publishers' train ids."""


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

    def __init__(self, root: str | Path, split: str, *, report: Report = refuse) -> None:
        root, check = Path(root).expanduser(), check_choice("split", split, SPLITS)
        stores = [
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
        index_of = {info.category_id: index for index, info in enumerate(CLASSES)}
        super().__init__(
            *stores,
            classes=CLASSES,
            values={number: index_of.get(number, VOID) for number in range(_NUM_LABELS)},
            image_suffix="_leftImg8bit.png",
            mask_suffix="_gtFine_labelIds.png",
            report=report,
        )
