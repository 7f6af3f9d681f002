"""Small data sets in COCO's layout and both of its formats, written without the library."""

import json

import numpy as np
from PIL import Image
from pycocotools import mask as rle_masks

from tests.data.files import write_image, write_json

H, W = 20, 30


def write_panoptic(root, *, images=2):
    """Two images with a stuff half, a thing and a void strip, written without the library."""
    (root / "val2017").mkdir(parents=True)
    maps = root / "annotations" / "panoptic_val2017"
    maps.mkdir(parents=True)
    content = {
        "images": [],
        "annotations": [],
        "categories": [
            {"id": 7, "name": "cat", "isthing": 1},
            {"id": 200, "name": "sky", "isthing": 0},
        ],
    }
    for i in range(1, images + 1):
        Image.fromarray(np.full((H, W, 3), 40 * i, np.uint8)).save(root / f"val2017/{i}.jpg")
        colours = np.zeros((H, W, 3), np.uint8)
        colours[:, :15] = (1, 2, 3)
        colours[5:10, 5:20] = (255, 255, 255)
        Image.fromarray(colours).save(maps / f"{i}.png")
        content["images"].append({"id": i, "file_name": f"{i}.jpg", "height": H, "width": W})
        segments = [
            {"id": 2**24 - 1, "category_id": 7, "iscrowd": 1},
            {"id": 1 + 2 * 256 + 3 * 65536, "category_id": 200, "iscrowd": 0},
        ]
        content["annotations"].append(
            {"image_id": i, "file_name": f"{i}.png", "segments_info": segments}
        )
    save_panoptic(root, content)
    return content


def save_panoptic(root, content):
    (root / "annotations" / "panoptic_val2017.json").write_text(json.dumps(content))


def run_lengths(mask):
    """Uncompressed COCO run lengths: down the columns, first of what is not in the mask."""
    flat, counts, value = mask.T.ravel(), [], False
    start = 0
    for position in range(len(flat) + 1):
        if position == len(flat) or flat[position] != value:
            counts.append(position - start)
            start, value = position, not value
    return {"size": list(mask.shape), "counts": counts}


def drawn(*boxes):
    mask = np.zeros((H, W), bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def compressed(mask):
    encoded = rle_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [H, W], "counts": encoded["counts"].decode()}


def polygon(top, left, bottom, right):
    return [left, top, right, top, right, bottom, left, bottom]


CROWD = drawn((0, 0, 12, 9), (14, 2, 19, 28))
PIECES = drawn((2, 3, 11, 12), (12, 20, 19, 29))
INSIDE = drawn((4, 5, 8, 9))
COMPRESSED = compressed(INSIDE)
SEGMENTS = [
    # image, category, crowd, outline, its mask
    (2, 44, 0, [polygon(2, 3, 11, 12), polygon(12, 20, 19, 29)], PIECES),
    (5, 1, 0, [polygon(0, 0, 5, 5)], drawn((0, 0, 5, 5))),
    (2, 1, 1, run_lengths(CROWD), CROWD),
    (2, 1, 0, COMPRESSED, INSIDE),
    (2, 44, 0, [polygon(15, 0, 20, 4)], drawn((15, 0, 20, 4))),
]


def write_instances(root, split="val"):
    content = {
        "info": {"description": 'brackets ]}" and é in a text'},
        "images": [
            {"id": k, "file_name": f"{k:012d}.jpg", "height": H, "width": W} for k in (2, 5, 9)
        ],
        "annotations": [
            {
                "id": 100 + k,
                "image_id": image,
                "category_id": category,
                "iscrowd": crowd,
                "segmentation": outline,
            }
            for k, (image, category, crowd, outline, _) in enumerate(SEGMENTS)
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 44, "name": "bottle"}],
    }
    for image in content["images"]:
        path = root / f"{split}2017" / image["file_name"]
        write_image(path, np.full((H, W, 3), 20 * image["id"], np.uint8))
    save_instances(root, content, split)
    return content


def save_instances(root, content, split="val"):
    write_json(root / "annotations" / f"instances_{split}2017.json", content)
