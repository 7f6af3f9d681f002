"""One drawn truth, written as annotation tools export it, without the library."""

import base64
import io
import json
import math
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

import numpy as np
from PIL import Image
from pycocotools import mask as rle_masks

from tests.data.files import write_image, write_json

SIZE = (240, 320)
LABELS = ("dog house", "cat", "été")
BORDER = 255


@dataclass(frozen=True)
class Shape:
    """Parts of one object: ``("polygon", points)``, ``("rectangle", …)``, ``("circle", …)``."""

    label: str
    parts: tuple
    is_crowd: bool = False

    def mask(self):
        """``[H, W]`` bool: pixels whose centre is in a part."""
        return np.any([inside(polygon_of(*part)) for part in self.parts], 0)


def polygon_of(kind, points):
    """Corners of a part."""
    if kind == "polygon":
        return points
    (x, y), (u, v) = points
    if kind == "rectangle":
        return [(x, y), (u, y), (u, v), (x, v)]
    radius, turns = math.hypot(u - x, v - y), [2 * math.pi * k / 360 for k in range(360)]
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in turns]


def inside(points):
    """By the even-odd rule: a ray to the right crosses the outline an odd number of times."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    crossed = np.zeros(SIZE, bool)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        if y0 != y1:
            at = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
            crossed ^= ((y0 > y) != (y1 > y)) & (x < at)
    return crossed


HOUSE = Shape(
    "dog house",
    (
        ("polygon", [(20, 30), (120, 20.5), (130, 110), (25, 120)]),
        ("polygon", [(180, 130), (300, 140), (290, 230), (170, 225)]),
    ),
)
CAT = Shape("cat", (("rectangle", [(90, 60), (200, 180)]),))
WHEEL = Shape("dog house", (("circle", [(230, 70), (230, 20)]),))
SUMMER = Shape("été", (("polygon", [(10, 140), (150, 140), (80, 235)]),))
FLOCK = Shape("cat", (("polygon", [(200, 100), (310, 90), (305, 200), (210, 210)]),), True)
DRAWN = {
    "train": {"a b.jpg": [HOUSE, CAT], "naïve/ü.png": [WHEEL, SUMMER, CAT], "empty.jpg": []},
    "val": {"first.jpg": [FLOCK, SUMMER, WHEEL]},
}
"""Split → image → what is on it, later things over earlier ones."""


def each():
    for split, images in DRAWN.items():
        for name, shapes in images.items():
            yield split, name, shapes


def draw_images(folder_of):
    """Writes the images; ``folder_of`` gives the folder of a split's."""
    for number, (split, name, _) in enumerate(each()):
        write_image(folder_of(split) / name, np.full((*SIZE, 3), 40 * number, np.uint8))


def flat(part):
    return [float(number) for point in polygon_of(*part) for number in point]


def write_yolo(root):
    """With several polygons of an object joined by lines of no width, as Ultralytics does."""
    draw_images(lambda split: root / "images" / split)
    names = "\n".join(f"  {k}: {label}" for k, label in enumerate(LABELS))
    root.joinpath("data.yaml").write_text(
        f"path: /home/somebody/cats\ntrain: images/train\nval: images/val\nnames:\n{names}\n"
    )
    for split, name, shapes in each():
        lines = []
        for shape in shapes:
            polygons = [polygon_of(*part) for part in shape.parts]
            joined = list(polygons[0])
            for other in polygons[1:]:
                joined += [polygons[0][0], *other, other[0], polygons[0][0]]
            numbers = [f"{x / SIZE[1]:.6f} {y / SIZE[0]:.6f}" for x, y in joined]
            lines.append(f"{LABELS.index(shape.label)} {' '.join(numbers)}")
        path = root / "labels" / split / f"{name.rpartition('.')[0]}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        if lines:
            path.write_text("\n".join(lines) + "\n")


def write_roboflow(root):
    """A root category 0; crowds as run lengths."""
    folders = {"train": root / "train", "val": root / "valid"}
    draw_images(folders.get)
    for split, folder in folders.items():
        images, annotations = [], []
        for number, (name, shapes) in enumerate(DRAWN[split].items()):
            size = {"height": SIZE[0], "width": SIZE[1]}
            images.append({"id": number, "file_name": name, "license": 1} | size)
            for shape in shapes:
                outline = [flat(part) for part in shape.parts]
                if shape.is_crowd:
                    encoded = rle_masks.encode(np.asfortranarray(shape.mask(), np.uint8))
                    outline = {"size": SIZE, "counts": encoded["counts"].decode()}
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": number,
                        "category_id": LABELS.index(shape.label) + 1,
                        "segmentation": outline,
                        "iscrowd": int(shape.is_crowd),
                    }
                )
        categories = [{"id": 0, "name": "cats-7hjk", "supercategory": "none"}]
        categories += [
            {"id": k, "name": label, "supercategory": "cats-7hjk"}
            for k, label in enumerate(LABELS, start=1)
        ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        write_json(folder / "_annotations.coco.json", content)


def write_cvat(root, subsets=True):
    """Parts of an object in a group; a crowd as a mask with an attribute."""
    draw_images(lambda split: root / "images" / split if subsets else root / "images")
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations><meta><task><labels>"]
    lines += [f"<label><name>{label}</name></label>" for label in LABELS]
    lines.append("</labels></task></meta>")
    for number, (split, name, shapes) in enumerate(each()):
        subset = f' subset="{split}"' if subsets else ""
        size = f'width="{SIZE[1]}" height="{SIZE[0]}"'
        lines.append(f'<image id="{number}" name={quoteattr(name)}{subset} {size}>')
        for group, shape in enumerate(shapes, start=1):
            own = f'label={quoteattr(shape.label)} source="manual" occluded="0" z_order="0"'
            own += f' group_id="{group}"' if len(shape.parts) > 1 else ""
            lines += [cvat_shape(shape, part, own) for part in shape.parts]
        lines.append('<polyline label="cat" points="1.00,1.00;5.00,5.00"></polyline></image>')
    text = "\n".join([*lines, "</annotations>"])
    (root / "annotations.xml").write_text(text, encoding="utf-8")


def cvat_shape(shape, part, own):
    kind, points = part
    if shape.is_crowd:
        mask = shape.mask()
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        runs, value = [0], False
        for pixel in cut.ravel():
            if pixel != value:
                runs.append(0)
                value = pixel
            runs[-1] += 1
        box = f'left="{columns[0]}" top="{rows[0]}" width="{cut.shape[1]}" height="{cut.shape[0]}"'
        text = ", ".join(map(str, runs))
        crowd = '<attribute name="is_crowd">true</attribute>'
        return f'<mask {own} rle="{text}" {box}>{crowd}</mask>'
    if kind == "rectangle":
        (x, y), (u, v) = points
        return f'<box {own} xtl="{x}" ytl="{y}" xbr="{u}" ybr="{v}"></box>'
    if kind == "circle":
        (x, y), other = points
        radius = math.dist((x, y), other)
        return f'<ellipse {own} cx="{x}" cy="{y}" rx="{radius}" ry="{radius}"></ellipse>'
    text = ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
    return f'<polygon {own} points="{text}"></polygon>'


def write_labelme(root):
    """Parts of an object in a group; a crowd as a mask with a flag."""
    draw_images(lambda split: root / split)
    (root / "labels.txt").write_text("\n".join(["__ignore__", "_background_", *LABELS]))
    for split, name, shapes in each():
        listed = []
        for group, shape in enumerate(shapes):
            for kind, points in shape.parts:
                entry = {"label": shape.label, "points": points, "shape_type": kind}
                entry |= {"group_id": group if len(shape.parts) > 1 else None, "flags": {}}
                listed.append(entry | (labelme_mask(shape) if shape.is_crowd else {}))
        listed.append(
            {"label": "__ignore__", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}
        )
        listed.append({"label": "cat", "points": [[1, 1], [9, 9]], "shape_type": "line"})
        content = {"version": "5.5.0", "flags": {}, "shapes": listed, "imageData": None}
        content |= {"imagePath": name.rpartition("/")[2]}
        content |= {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
        path = root / split / f"{name.rpartition('.')[0]}.json"
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def labelme_mask(shape):
    mask = shape.mask()
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    file = io.BytesIO()
    Image.fromarray(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]).save(file, "png")
    corners = [[int(columns[0]), int(rows[0])], [int(columns[-1]), int(rows[-1])]]
    text = base64.b64encode(file.getvalue()).decode()
    return {"shape_type": "mask", "points": corners, "mask": text, "flags": {"iscrowd": True}}


def voc_maps(shapes):
    """Of classes and objects, ``[H, W]`` uint8: each thing with a border of void around it."""
    classes, objects = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    for number, shape in enumerate(shapes, start=1):
        mask = shape.mask()
        near = np.zeros(SIZE, bool)
        for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            near |= np.roll(mask, step, (0, 1))
        for target, value in ((classes, LABELS.index(shape.label) + 1), (objects, number)):
            target[near] = BORDER
            target[mask] = value
    return classes, objects


VOC_COLOURS = [(0, 0, 0), (250, 10, 20), (30, 240, 40), (50, 60, 230)]


def write_voc(root, *, labelmap=True, objects=True):
    """PNGs with a palette; without a list of colours the numbers are VOC's."""
    draw_images(lambda _: root / "JPEGImages")
    if labelmap:
        names = ("background", *LABELS)
        lines = [
            f"{name}:{','.join(map(str, colour))}::"
            for name, colour in zip(names, VOC_COLOURS, strict=True)
        ]
        (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "\n".join(lines))
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for split, images in DRAWN.items():
        names = [name.rpartition(".")[0] for name in images]
        (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name, shapes in zip(names, images.values(), strict=True):
            kinds = ("SegmentationClass", "SegmentationObject")[: 1 + objects]
            for kind, values in zip(kinds, voc_maps(shapes), strict=False):
                picture = Image.fromarray(values)
                palette = np.zeros((256, 3), np.uint8)
                palette[: len(VOC_COLOURS)], palette[BORDER] = VOC_COLOURS, (224, 224, 192)
                picture.putpalette(palette.ravel().tolist())
                path = root / kind / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path)


WRITERS = {
    "yolo": write_yolo,
    "roboflow": write_roboflow,
    "cvat": write_cvat,
    "labelme": write_labelme,
    "voc": write_voc,
}


def replace(name, old, new):
    """What changes a text file below a root: the first of ``old`` into ``new``."""

    def change(root):
        path = root / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change
