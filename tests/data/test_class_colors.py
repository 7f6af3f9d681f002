import json
from itertools import combinations

import numpy as np
import pytest

from eomtlib.core.errors import DataError
from eomtlib.core.structures import ClassInfo
from eomtlib.data.class_colors import class_colors
from eomtlib.data.formats.class_files import read_classes
from eomtlib.data.registry import open_dataset
from eomtlib.data.sets import ade20k_classes, cityscapes
from eomtlib.data.sets.coco_classes import COLORS, NUM_THINGS
from tests.data.custom_files import CLASSES, write_masks

# Machado, Oliveira and Fernandes, A physiologically-based model for simulation of color vision
# deficiency (IEEE TVCG 2009), table of severity 1: what linear RGB becomes.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def cie_lab(color, sight):
    """CIE Lab, D65, of an sRGB colour 0 to 255 as it is seen; one colour, in scalars."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color / 255]
    seen = np.clip(np.array(SIGHTS[sight]) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    whole = np.array(to_xyz) @ seen / [0.95047, 1.0, 1.08883]
    x, y, z = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in whole)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def classes_of(count):
    return [ClassInfo(f"class {place}", True, place) for place in range(count)]


def test_the_conversion_of_this_test():
    assert np.allclose(cie_lab(np.array([255, 255, 255]), "normal"), [100, 0, 0], atol=0.05)
    # sRGB's red and blue as tables have them.
    assert np.allclose(cie_lab(np.array([255, 0, 0]), "normal"), [53.24, 80.09, 67.20], atol=0.05)
    assert np.allclose(cie_lab(np.array([0, 0, 255]), "normal"), [32.30, 79.19, -107.86], atol=0.05)


@pytest.mark.parametrize("sight", SIGHTS)
def test_the_first_twelve_are_told_apart_by_everybody(sight):
    seen = [cie_lab(color, sight) for color in class_colors(classes_of(12)).astype(float)]
    distances = {
        pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in combinations(range(12), 2)
    }
    closest = min(distances, key=distances.get)
    assert distances[closest] >= (40 if sight == "normal" else 25), closest


def test_a_place_has_its_colour_however_long_the_list():
    many = class_colors(classes_of(1200))
    assert many.shape == (1200, 3)
    assert many.dtype == np.uint8
    for count in (0, 1, 12, 13, 40, 300):
        assert np.array_equal(class_colors(classes_of(count)), many[:count])
    assert len(np.unique(many[:300], axis=0)) == 300
    assert many.max(axis=1).min() > 90  # none that looks like void


def test_published_palettes_are_whole():
    assert (len(COLORS), len(set(COLORS.values()))) == (133, 133)
    assert list(COLORS)[NUM_THINGS - 1 : NUM_THINGS + 1] == ["toothbrush", "banner"]
    ade20k = [info.color for info in ade20k_classes.CLASSES]
    assert len(ade20k) == 150
    twice = {info.name for info in ade20k_classes.CLASSES if ade20k.count(info.color) > 1}
    assert twice == {"road", "skyscraper"}  # one grey, as published
    streets = {info.name: info.color for info in cityscapes.CLASSES}
    assert len(set(streets.values())) == 19
    # COCO took over what Cityscapes has as well.
    shared = {
        "sky": "sky-other-merged",
        "vegetation": "tree-merged",
        "terrain": "grass-merged",
        "fence": "fence-merged",
        "wall": "wall-other-merged",
    } | {name: name for name in ("road", "person", "car", "truck", "bus", "train", "bicycle")}
    for name, in_coco in shared.items():
        assert streets[name] == COLORS[in_coco]


def test_a_published_list_has_its_colours_in_any_order_and_a_part_of_it_has_not():
    coco = [ClassInfo(name, True, i) for i, name in enumerate(COLORS)][::-1]
    assert class_colors(coco).tolist() == [list(COLORS[info.name]) for info in coco]
    things = coco[-NUM_THINGS:]
    assert class_colors(things).tolist() == [list(COLORS[info.name]) for info in things]
    part = coco[:12]
    assert np.array_equal(class_colors(part), class_colors(classes_of(12)))
    own = [ClassInfo(info.name, info.is_thing, 0) for info in cityscapes.CLASSES]
    assert class_colors(own).tolist() == [list(info.color) for info in cityscapes.CLASSES]
    bed = ade20k_classes.THINGS[0]
    assert (bed.name, bed.color) == ("bed", ade20k_classes.CLASSES[7].color)


def test_what_a_class_file_says_goes_first(tmp_path):
    coco = [{"name": name, "isthing": 1, "id": i} for i, name in enumerate(COLORS)]
    coco[5]["color"], coco[6]["color"], coco[7]["color"] = [1, 2, 3], "#0a0B0c", None
    (tmp_path / "classes.json").write_text(json.dumps(coco))
    colors = class_colors(read_classes(tmp_path / "classes.json")).tolist()
    assert colors[5:7] == [[1, 2, 3], [10, 11, 12]]
    assert colors[7] == list(COLORS["truck"])
    categories = [{"name": "a", "id": 4}, {"name": "b", "id": 7, "color": [9, 8, 7]}]
    annotations = {"images": [], "annotations": [], "categories": categories}
    (tmp_path / "coco.json").write_text(json.dumps(annotations))
    colors = class_colors(read_classes(tmp_path / "coco.json"))
    assert colors.tolist() == [class_colors(classes_of(1))[0].tolist(), [9, 8, 7]]


@pytest.mark.parametrize("value", [[1, 2], [1, 2, 256], [0.5, 0, 0], "reddish", 7, [[1, 2, 3]]])
def test_what_is_no_colour_is_refused(tmp_path, value):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps([{"name": "a", "isthing": 1, "id": 0, "color": value}]))
    with pytest.raises(DataError, match=r"categories\[0\]: .*color"):
        read_classes(path)


def test_colours_are_no_part_of_what_a_data_set_is(tmp_path):
    write_masks(tmp_path)
    listed = tmp_path / "classes.json"
    before = open_dataset("custom", "val", task="semantic", data_path=tmp_path)
    colored = [entry | {"color": [200, place, 3]} for place, entry in enumerate(CLASSES)]
    listed.write_text(json.dumps(colored))
    after = open_dataset("custom", "val", task="semantic", data_path=tmp_path)
    assert [info.color for info in after.classes] == [
        (200, place, 3) for place in range(len(CLASSES))
    ]
    assert after.digest() == before.digest()
    assert after.classes == before.classes  # training and validation may differ in them
