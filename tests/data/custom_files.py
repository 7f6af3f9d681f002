"""Small data sets in the layout of one's own images, in each form of annotation."""

import shutil

import numpy as np
from PIL import Image

from tests.data import coco_files
from tests.data.files import noise, write_image, write_json

SIZE = (20, 30)
CLASSES = [
    {"name": "road", "isthing": 0, "id": 7},
    {"name": "car", "isthing": 1, "id": 0},
    {"name": "sky", "isthing": 0, "id": 254},
]


def write_masks(root, split="val"):
    """Images of several kinds in folders, their masks grey or with a palette."""
    masks = {}
    for k, name in enumerate(("a.jpg", "b/c.png", "b/d.e.jpeg")):
        values = np.array([0, 7, 254, 255], np.uint8)[noise(SIZE, 3, k)]
        masks[name] = values
        write_image(root / "images" / split / name, noise(SIZE, 255, k, channels=(3,)))
        path = root / "masks" / split / f"{name.rpartition('.')[0]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(values)
        if k:
            picture.putpalette([k * j % 256 for j in range(768)])
        picture.save(path)
    write_json(root / "classes.json", CLASSES)
    return masks


def write_panoptic(root):
    """COCO's panoptic format in the custom layout."""
    coco_files.write_panoptic(root / "coco")
    folder = root / "custom"
    shutil.copytree(root / "coco/val2017", folder / "images/val")
    shutil.copytree(root / "coco/annotations/panoptic_val2017", folder / "masks/val")
    shutil.copy(root / "coco/annotations/panoptic_val2017.json", folder / "val.json")
    return folder


def write_instances(root):
    """COCO's instance format in the custom layout."""
    coco_files.write_instances(root / "coco")
    folder = root / "custom"
    shutil.copytree(root / "coco/val2017", folder / "images/val")
    shutil.copy(root / "coco/annotations/instances_val2017.json", folder / "val.json")
    return folder
