import numpy as np
import pytest

from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.data.registry import open_dataset
from eomtlib.data.sets.ade20k import (
    INSTANCES,
    Ade20kPanoptic,
    Ade20kSemantic,
    open_ade20k_panoptic,
)
from eomtlib.data.sets.ade20k_classes import CLASSES, THING_NUMBERS
from eomtlib.data.sets.cityscapes import IMAGES_ZIP, LABELS_ZIP, CityscapesSemantic
from tests.data.files import classes_of, masks_of, pack, pack_tar, write_image, write_json
from tests.data.mask_files import ADE, SIZE, instance_ids, write_ade20k, write_cityscapes

# Of the publishers' table of train ids: 255 where a label is void.
TRAIN_IDS = [255] * 7 + [0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10, 11, 12]
TRAIN_IDS += [13, 14, 15, 255, 255, 16, 17, 18]


def as_published(root, packed):
    if not packed:
        return root
    target = root.parent / "zips"
    pack(root, target / IMAGES_ZIP, "leftImg8bit")
    pack(root, target / LABELS_ZIP, "gtFine")
    return target


@pytest.mark.parametrize("packed", [False, True], ids=["folders", "zips"])
def test_cityscapes_has_its_19_classes(tmp_path, packed):
    labels = write_cityscapes(tmp_path / "set")
    dataset = CityscapesSemantic(as_published(tmp_path / "set", packed), "val")
    assert len(dataset) == 2
    assert [info.name for info in dataset.classes if info.is_thing] == (
        ["person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]
    )
    assert [info.name for info in dataset.classes[:3]] == ["road", "sidewalk", "building"]
    for index, name in enumerate(sorted(labels)):
        image, segments = dataset.read(index)
        assert image.shape == (3, *SIZE)
        expected = np.array(TRAIN_IDS)[labels[name]]
        shown = np.unique(expected[expected < 255])
        assert segments.labels.tolist() == shown.tolist()
        assert segments.ids.shape[0] == 1
        assert np.array_equal(masks_of(segments), [expected == k for k in shown])
        assert not segments.is_crowd.any()
    assert dataset.sizes.tolist() == [list(SIZE)] * 2


def naive_segments(values):
    """Pixel by pixel: train id and whether it is a crowd → its pixels, for each value."""
    found = {}
    for place, value in np.ndenumerate(values):
        label = value if value < 1000 else value // 1000
        if TRAIN_IDS[label] < 255:
            is_crowd = value < 1000 and label in (24, 25, 26, 27, 28, 31, 32, 33)
            found.setdefault(int(value), (TRAIN_IDS[label], is_crowd, []))[2].append(place)
    return [found[value] for value in sorted(found)]


@pytest.mark.parametrize("packed", [False, True], ids=["folders", "zips"])
def test_cityscapes_has_instances_and_groups_of_them(tmp_path, packed):
    labels = write_cityscapes(tmp_path / "set")
    root = as_published(tmp_path / "set", packed)
    panoptic, instance = (
        open_dataset("cityscapes", "val", task=task, data_path=root)
        for task in ("panoptic", "instance")
    )
    assert [info.name for info in instance.classes] == (
        ["person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]
    )
    crowds = 0
    for index, name in enumerate(sorted(labels)):
        values = instance_ids(labels[name], list(labels).index(name))
        expected = naive_segments(values)
        for dataset, offset in ((panoptic, 0), (instance, 11)):
            segments, masks = dataset.read(index)[1], []
            own = [segment for segment in expected if segment[0] >= offset]
            for _, _, places in own:
                mask = np.zeros(SIZE, bool)
                mask[tuple(np.transpose(places))] = True
                masks.append(mask)
            assert segments.labels.tolist() == [train_id - offset for train_id, _, _ in own]
            assert segments.is_crowd.tolist() == [is_crowd for _, is_crowd, _ in own]
            assert np.array_equal(masks_of(segments), masks)
            crowds += sum(segments.is_crowd.tolist())
    assert crowds


@pytest.mark.parametrize("value", [34, 999, 34_000, 65_535])
def test_cityscapes_instances_that_cannot_be_are_named(tmp_path, value):
    write_cityscapes(tmp_path)
    name = "gtFine/val/bonn/bonn_000000_000011_gtFine_instanceIds.png"
    write_image(tmp_path / name, np.full(SIZE, value, np.uint16))
    dataset = open_dataset("cityscapes", "val", task="panoptic", data_path=tmp_path)
    with pytest.raises(DataError, match=rf"instanceIds\.png: holds the value {value}, .*no label"):
        dataset.read(0)


def test_cityscapes_without_labels_says_what_is_missing(tmp_path):
    write_cityscapes(tmp_path)
    (tmp_path / "gtFine").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"no labels .*gtFine_trainvaltest\.zip"):
        CityscapesSemantic(tmp_path, "val")
    with pytest.raises(ConfigurationError, match="split='test'"):
        CityscapesSemantic(tmp_path, "test")


def layouts(root, layout):
    """The same files as folders, in the archives that are shipped, or all in one folder."""
    if layout == "folders":
        return root
    if layout == "inside":
        (root / INSTANCES).rename(root / ADE / INSTANCES)
        return root / ADE
    target = root.parent / layout
    pack(root, target / f"{ADE}.zip", ADE)
    if layout == "tar":
        pack_tar(root, target / f"{INSTANCES}.tar", INSTANCES)
    else:
        pack(root, target / f"{INSTANCES}.zip", INSTANCES)
    return target


@pytest.mark.parametrize("layout", ["folders", "inside", "tar", "zips"])
def test_ade20k_is_stuff_with_instances_over_it(tmp_path, layout):
    written = write_ade20k(tmp_path / "set")
    dataset = open_ade20k_panoptic(layouts(tmp_path / "set", layout), "val")
    assert isinstance(dataset, Ade20kPanoptic)
    assert len(dataset) == len(written)
    for index, (semantic, category, number) in enumerate(written.values()):
        image, segments = dataset.read(index)
        assert image.shape == (3, *SIZE)
        expected = []
        for value in range(1, 151):
            mask = (semantic == value) & (number == 0)
            if value not in THING_NUMBERS and mask.any():
                expected.append((value, mask))
        for instance in np.unique(number[number > 0]):
            mask = number == instance
            expected.append((THING_NUMBERS[category[mask][0] - 1], mask))
        found = [dataset.classes[k].category_id for k in segments.labels]
        assert found == [value for value, _ in expected]
        assert np.array_equal(masks_of(segments), [mask for _, mask in expected])
        assert segments.ids.shape[0] == 1


@pytest.mark.parametrize("layout", ["folders", "tar"])
def test_ade20k_instances_are_those_of_their_pngs(tmp_path, layout):
    written = write_ade20k(tmp_path / "set")
    root = layouts(tmp_path / "set", layout)
    dataset = open_dataset("ade20k", "val", task="instance", data_path=root)
    assert [info.category_id for info in dataset.classes] == list(range(1, 101))
    names = {info.category_id: info.name for info in CLASSES}
    assert [info.name for info in dataset.classes] == [names[k] for k in THING_NUMBERS]
    for index, (_, category, number) in enumerate(written.values()):
        segments = dataset.read(index)[1]
        found = zip(segments.labels.tolist(), masks_of(segments), strict=True)
        expected = [
            (int(category[number == own][0]) - 1, number == own)
            for own in sorted(set(number.ravel().tolist()) - {0})
        ]
        for (label, mask), (known, truth) in zip(found, expected, strict=True):
            assert label == known
            assert np.array_equal(mask, truth)


@pytest.mark.parametrize("layout", ["folders", "inside", "zips"])
def test_ade20k_semantic_is_the_png(tmp_path, layout):
    written = write_ade20k(tmp_path / "set")
    dataset = Ade20kSemantic(layouts(tmp_path / "set", layout), "val")
    for index, (semantic, _, _) in enumerate(written.values()):
        segments = dataset.read(index)[1]
        assert np.array_equal(
            classes_of(segments, dataset.classes), np.where(semantic > 0, semantic.astype(int), -1)
        )
        assert len(set(segments.labels.tolist())) == segments.num_segments


def test_ade20k_classes_are_the_published_ones():
    assert len(CLASSES) == 150
    assert sum(info.is_thing for info in CLASSES) == len(set(THING_NUMBERS)) == 100
    by_name = {info.name: info for info in CLASSES}
    assert len(by_name) == 150
    # Lines of objectInfo150.txt, and of the table of instance and scene parsing numbers.
    for number, name in ((1, "wall"), (13, "person"), (66, "toilet"), (94, "pole"), (150, "flag")):
        assert by_name[name].category_id == number
    for category, number in ((1, 8), (4, 13), (38, 66), (61, 94), (100, 150)):
        assert THING_NUMBERS[category - 1] == number


def test_ade20k_in_cocos_format_is_read_where_it_is_there(tmp_path):
    written = write_ade20k(tmp_path)
    official = Ade20kPanoptic(tmp_path, "val")
    content = {"images": [], "annotations": [], "categories": []}
    for info in CLASSES:
        content["categories"].append(
            {"id": info.category_id - 1, "name": info.name, "isthing": int(info.is_thing)}
        )
    for index, name in enumerate(written):
        segments = official.read_segments(index)
        packed = (segments.ids[0].numpy().astype(int) + 1) * 1000
        colours = np.stack([packed >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)
        write_image(tmp_path / ADE / "ade20k_panoptic_val" / f"{name}.png", colours)
        content["images"].append(
            {"id": name, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]}
        )
        infos = [
            {"id": (k + 1) * 1000, "category_id": int(label), "iscrowd": 0}
            for k, label in enumerate(segments.labels)
        ]
        content["annotations"].append(
            {"image_id": name, "file_name": f"{name}.png", "segments_info": infos}
        )
    write_json(tmp_path / ADE / "ade20k_panoptic_val.json", content)
    dataset = open_ade20k_panoptic(tmp_path, "val")
    assert not isinstance(dataset, Ade20kPanoptic)
    assert dataset.image_ids.tolist() == [0, 1, 2]
    for index in range(len(written)):
        ours, theirs = official.read(index), dataset.read(index)
        assert np.array_equal(ours[0], theirs[0])
        assert np.array_equal(ours[1].ids, theirs[1].ids)
        assert np.array_equal(ours[1].labels, theirs[1].labels)


@pytest.mark.parametrize(
    ("colour", "message"),
    [((101, 9, 0), "instance 9 is of category 101"), ((3, 85, 0), "instance 85 is of two")],
)
def test_ade20k_instances_that_cannot_be_are_named(tmp_path, colour, message):
    _, category, number = write_ade20k(tmp_path)["ADE_val_00000001"]
    coded = np.stack((category, number, 0 * number), -1)
    coded[0, 0] = colour
    write_image(tmp_path / INSTANCES / "validation" / "ADE_val_00000001.png", coded)
    with pytest.raises(DataError, match=rf"ADE_val_00000001\.png: {message}"):
        Ade20kPanoptic(tmp_path, "val").read(0)
    with pytest.raises(DataError, match=rf"ADE_val_00000001\.png: {message}"):
        open_dataset("ade20k", "val", task="instance", data_path=tmp_path).read(0)


def test_values_without_a_class_are_named(tmp_path):
    write_ade20k(tmp_path)
    path = tmp_path / ADE / "annotations" / "validation" / "ADE_val_00000002.png"
    write_image(path, np.full(SIZE, 151, np.uint8))
    with pytest.raises(DataError, match=r"00000002\.png: holds 1 value\(s\) .*: 151"):
        Ade20kSemantic(tmp_path, "val").read(1)
