"""What a data set holds, counted and shown, beside a naive loop over its images."""

import json
from collections import Counter
from statistics import median

import numpy as np
import pytest
from PIL import Image

from eomtlib.commands import main
from eomtlib.core.structures import ClassInfo
from eomtlib.data.checking import Findings, check_split
from eomtlib.data.class_colors import class_colors
from eomtlib.data.looking import look_at
from eomtlib.data.registry import DATASETS, open_files
from eomtlib.data.tally import Tally
from eomtlib.report.contents import describe
from eomtlib.report.plots.images.contact_sheet import contact_sheet
from tests.data.custom_files import write_instances, write_masks, write_panoptic

WRITERS = {"panoptic": write_panoptic, "instance": write_instances, "semantic": write_masks}


def written(root, form):
    folder = WRITERS[form](root)
    return root if form == "semantic" else folder


def counted(folder, task):
    return check_split(
        "custom", "val", task=task, data_path=folder, findings=Findings(lambda text: None)
    )


@pytest.mark.parametrize(
    ("form", "task"),
    [
        ("panoptic", "panoptic"),
        ("panoptic", "semantic"),
        ("panoptic", "instance"),
        ("instance", "instance"),
        ("semantic", "semantic"),
    ],
)
def test_counts_are_those_of_a_naive_loop(tmp_path, form, task):
    folder = written(tmp_path, form)
    tally = counted(folder, task)
    files = open_files("custom", "val", task=task, data_path=folder)
    viewed = DATASETS["custom"][task].view(files)
    pixels, segments, images, found_by = Counter(), Counter(), Counter(), []
    for index in range(len(files)):
        own = files.read_segments(index)
        shown = [k for k in range(own.num_segments) if (own.ids == k).any()]
        for k in shown:
            pixels[int(own.labels[k])] += int((own.ids == k).sum())
            segments[int(own.labels[k])] += 1
        for label in {int(own.labels[k]) for k in shown}:
            images[label] += 1
        target = viewed.read(index)[1]
        is_counted = (~target.is_crowd if task != "semantic" else target.labels >= 0).tolist()
        found_by.append(
            sum((target.ids == k).any() and is_counted[k] for k in range(target.num_segments))
        )
    for counter, array in (
        (pixels, tally.pixels),
        (segments, tally.segments),
        (images, tally.images_with),
    ):
        assert {k: n for k, n in enumerate(array.tolist()) if n} == dict(counter)
    assert tally.found_by == [int(n) for n in found_by]
    assert tally.area == int(np.prod(files.sizes.astype(int), axis=1).sum())


def test_processes_count_what_one_counts(tmp_path):
    write_masks(tmp_path)
    files = open_files("custom", "val", task="semantic", data_path=tmp_path)
    tallies = []
    for workers in (0, 2):
        tally = Tally(files, "semantic")
        for index, seen in enumerate(look_at(files, range(len(files)), workers=workers)):
            tally.add(index, seen)
        tallies.append([*describe(tally, {"nano": 10})])
    assert tallies[0] == tallies[1]


def write_set(root, counts, split="train"):
    """An image for each list of values, which its mask has one row each of."""
    for number, values in enumerate(counts):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        rows = np.repeat(np.array(values, np.uint8)[:, None], 16, axis=1)
        Image.fromarray(rows).save(root / "masks" / split / f"{number}.png")
        grey = np.full((*rows.shape, 3), 100 + number, np.uint8)
        Image.fromarray(grey).save(root / "images" / split / f"{number}.png")


def test_check_data_says_what_is_there(tmp_path, capsys):
    classes = [{"name": f"class {k}", "isthing": 0, "id": k} for k in range(12)]
    classes[3]["name"] = "rare\x1b[31m" + "r" * 50
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    rows = [[0, 0, 0, 1], [0, 0, 2, 1], [0, 3, 2, 1], [*range(11), 255]]
    for split in ("train", "val"):
        write_set(tmp_path, rows, split)
    sheet = tmp_path / "sheet.png"
    arguments = ["check-data", "--dataset", "custom", "--data-path", str(tmp_path)]
    assert main([*arguments, "--sheet", str(sheet)]) == 1  # one picture in both splits
    out = capsys.readouterr().out
    said = out.split("\n\n")
    assert "\x1b" not in out
    assert "same picture in both splits" in said[0]
    lines = said[1].splitlines()
    assert lines[0] == "train, for semantic segmentation"
    assert lines[1] == "4 image(s), height × width: 4×16 (3), 12×16 (1)"
    found = [2, 3, 4, 11]
    assert lines[2].startswith(f"segments of an image: median {median(found):g}, at most ")
    assert lines[2].endswith("11 in any")
    # 12 classes and 5 to spare, where ten were too few.
    assert "11 gives every segment one, by default there are 17 (nano, micro), 100 (" in lines[3]
    table = [line.split() for line in lines[5:]]
    assert len(table) == 12
    assert table[0] == ["class", "0", "29.2", "%", "4", "4"]  # 7 rows of 24
    assert lines[-1].split() == ["class", "11", "0", "%", "0", "0", "never", "occurs"]
    shares = [float(line[-4]) for line in table[:-1]]
    assert shares == sorted(shares, reverse=True)
    assert any(line.startswith("rare [31mrrr") and "…" in line for line in lines)
    assert Image.open(sheet).width == 4 * 408
    assert main([*arguments, "--sheet", str(tmp_path / "sheet.jpg")]) == 2
    assert "is no PNG" in capsys.readouterr().err


def test_examples_show_every_class_and_leave_out_what_is_wrong(tmp_path):
    classes = [{"name": f"class {k}", "isthing": 0, "id": k} for k in range(9)]
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    rows = [[0, 0, 0, 1]] * 30 + [[0, 5, 0, 0], [0, 5, 5, 5], [7, 8, 0, 0]] + [[0, 0, 0, 2]] * 9
    write_set(tmp_path, rows, "val")
    (tmp_path / "images/val/33.png").write_bytes(b"junk")
    tally = counted(tmp_path, "semantic")
    names = [tally.dataset.source(index)[1] for index in tally.examples(8)]
    assert len(set(names)) == 8
    assert {"31.png", "32.png"} <= set(names)  # the most of class 5, and 7 and 8
    assert not {"30.png", "33.png"} & set(names)
    assert len(tally.examples(500)) == len(rows) - 1


def test_a_sheet_has_the_photo_the_masks_and_the_names(tmp_path):
    classes = [{"name": "road", "isthing": 0, "id": 0, "color": [250, 0, 0]}]
    classes += [{"name": "sky", "isthing": 0, "id": 1}]
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    write_set(tmp_path, [[0] * 4 + [1] * 4] * 5, "val")
    tally = counted(tmp_path, "semantic")
    shown = contact_sheet([("val of mine", tally.dataset, tally.examples(5))])
    assert shown.shape == (28 + 2 * 320, 4 * 408, 3)
    tile = shown[28 : 28 + 300, 4:404].astype(int)
    colors = class_colors([ClassInfo("road", False, 0, (250, 0, 0)), ClassInfo("sky", False, 1)])
    top, bottom = tile[10, 10], tile[190, 390]  # 8 × 16 fills 200 × 400
    for found, color in ((top, colors[0]), (bottom, colors[1])):
        assert abs(found - (0.58 * 102 + 0.42 * color)).max() < 4
    assert (tile[20:80].min(axis=2) > 200).sum() > 20  # a name in white
    captions = shown[28 + 302 : 28 + 318, :1632]
    assert all((captions[:, 408 * k : 408 * k + 60] < 100).any() for k in range(4))
