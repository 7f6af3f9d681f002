"""Small data sets in the layouts of Cityscapes and ADE20K, written without the library."""

import numpy as np

from tests.data.files import noise, write_image

SIZE = (24, 36)
ADE, INSTANCES = "ADEChallengeData2016", "annotations_instance"


def write_cityscapes(root):
    labels = {}
    for k, city in enumerate(("ulm", "bonn")):
        name = f"{city}/{city}_000000_00001{k}"
        write_image(
            root / f"leftImg8bit/val/{name}_leftImg8bit.png", noise(SIZE, 255, k, channels=(3,))
        )
        labels[name] = noise(SIZE, 33, 10 + k)
        label = root / f"gtFine/val/{name}_gtFine_labelIds.png"
        write_image(label, labels[name])
        write_image(label.with_name(label.name.replace("labelIds", "color")), labels[name])
        path = label.with_name(label.name.replace("labelIds", "instanceIds"))
        write_image(path, instance_ids(labels[name], k))
    (root / "README").write_text("hello")
    return labels


def instance_ids(labels, seed):
    """Cityscapes' values ``[H, W]`` uint16: some blocks of things are instances, others groups."""
    number = noise(SIZE, 4, 30 + seed).astype(np.uint16)
    is_instance = (labels >= 24) & (number > 0)
    return np.where(is_instance, labels * np.uint16(1000) + number - 1, labels).astype(np.uint16)


def write_ade20k(root, count=3):
    """Maps of classes, and of instances that lie over them without regard to what is below."""
    written = {}
    for k in range(count):
        name = f"ADE_val_{k + 1:08d}"
        semantic = noise(SIZE, 150, k)
        number = noise(SIZE, 3, 50 + k) * 85  # up to 255
        category = np.choose(number // 85, [0, 1 + k, 100, 57 - k]).astype(np.uint8)
        coded = np.stack((category, number, 0 * number), -1)
        write_image(root / f"{ADE}/images/validation/{name}.jpg", noise(SIZE, 255, k, (3,)))
        write_image(root / f"{ADE}/annotations/validation/{name}.png", semantic)
        write_image(root / f"{INSTANCES}/validation/{name}.png", coded)
        written[name] = (semantic, category, number)
    (root / ADE / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n")
    return written
