import contextlib
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.classification import MulticlassJaccardIndex

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.data.class_colors import class_colors
from eomtlib.evaluation.metrics.instance_ap import InstanceAP
from eomtlib.evaluation.metrics.mean_iou import MeanIoU
from eomtlib.evaluation.metrics.panoptic_quality import PanopticQuality
from eomtlib.evaluation.official_files import ResultFiles, ResultImage, exporting, told_apart
from tests.evaluation.metrics import instances, panoptic

NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


def scored(truth, path):
    """What pycocotools says of a results file, in percent, in the order of ``NAMES``."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(str(path)))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return (100 * evaluation.stats[:6]).tolist()


def test_panoptic_files_score_what_was_measured_in_memory(tmp_path):
    rng = np.random.default_rng(0)
    quality, truths = PanopticQuality(panoptic.CLASSES), {}
    with exporting(tmp_path / "out", task="panoptic", classes=panoptic.CLASSES) as export:
        for image_id in range(300, 340):
            ids, labels, is_crowd, prediction, predicted_labels = panoptic.random_image(rng)
            shown = np.unique(prediction[prediction >= 0])
            # Post-processing numbers what shows.
            prediction = np.append(np.searchsorted(shown, shown), -1)[
                np.where(prediction < 0, -1, np.searchsorted(shown, prediction))
            ]
            segmented = panoptic.segmented(prediction, predicted_labels[shown])
            quality.update(segmented, panoptic.as_target(ids, labels, is_crowd))
            export(segmented, image_id)
            truths[image_id] = ids, labels, is_crowd
    assert [p.name for p in tmp_path.iterdir()] == ["out"]

    index_of = {info.category_id: index for index, info in enumerate(panoptic.CLASSES)}
    content = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    read = []
    for annotation in content["annotations"]:
        picture = Image.open(tmp_path / "out" / "panoptic" / annotation["file_name"])
        ids = np.asarray(picture, np.int64) @ [1, 256, 256**2]
        infos = annotation["segments_info"]
        assert {info["id"] for info in infos} | {0} == {*ids.flat} | {0}
        prediction = np.full(ids.shape, -1)
        for position, info in enumerate(infos):
            own = ids == info["id"]
            prediction[own] = position
            rows, columns = np.nonzero(own)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert (info["area"], info["bbox"]) == (own.sum(), box)
            assert (info["score"], info["iscrowd"]) == (0.5, 0)
        labels = np.array([index_of[info["category_id"]] for info in infos], int)
        read.append((*truths[annotation["image_id"]], prediction, labels))
    assert len(read) == 40
    assert [image["id"] for image in content["images"]] == list(range(300, 340))
    assert {c["id"]: c["name"] for c in content["categories"]} == {
        info.category_id: info.name for info in panoptic.CLASSES
    }
    expected = panoptic.naive_counts(read)
    torch.testing.assert_close(quality.state()[0], torch.from_numpy(expected), rtol=0, atol=1e-9)


def test_pycocotools_scores_instance_files_as_was_measured_in_memory(tmp_path):
    rng = np.random.default_rng(3)
    metric, truth = InstanceAP(instances.CLASSES), COCO()
    images, annotations = [], []
    with exporting(tmp_path / "out", task="instance", classes=instances.CLASSES) as export:
        for image_id in range(50, 60):
            prediction, target, masks = instances.random_image(rng)
            metric.update(prediction, target)
            export(prediction, image_id)
            height, width = instances.SIZE
            images.append({"id": image_id, "height": height, "width": width})
            for mask, label, crowd in zip(masks, target.labels, target.is_crowd, strict=True):
                # Uncompressed, by hand, a column after the other.
                flat = np.concatenate(([0], mask.numpy().T.ravel(), [2]))
                changes = np.flatnonzero(np.diff(flat))
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": instances.CLASSES[label].category_id,
                        "segmentation": {
                            "size": [height, width],
                            "counts": np.diff(changes, prepend=0).tolist(),
                        },
                        "area": int(mask.sum()),
                        "iscrowd": int(crowd),
                    }
                )
    truth.dataset = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": info.category_id} for info in instances.CLASSES],
    }
    metrics = metric.compute().metrics
    assert 5 < metrics["ap"] < 95
    expected = scored(truth, tmp_path / "out" / "instances.json")
    assert [metrics[name] for name in NAMES] == pytest.approx(expected, abs=1e-9)


def test_coco_scores_the_same_by_its_own_annotation_file(coco, tmp_path):
    path = coco / "annotations" / "instances_val2017.json"
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(path)
    classes = [ClassInfo(c["name"], True, c["id"]) for c in truth.dataset["categories"]]
    index_of = {info.category_id: index for index, info in enumerate(classes)}
    metric, rng = InstanceAP(classes), np.random.default_rng(0)
    with exporting(tmp_path / "out", task="instance", classes=classes) as export:
        for image_id, image in truth.imgs.items():
            own = truth.loadAnns(truth.getAnnIds(image_id))
            size = (image["height"], image["width"])
            masks = [truth.annToMask(annotation).astype(bool) for annotation in own]
            masks = np.stack([*masks, np.zeros(size, bool)])
            ids = np.where(masks, np.arange(len(masks))[:, None, None], -1)[:-1]
            labels = [index_of[annotation["category_id"]] for annotation in own]
            crowds = [bool(annotation["iscrowd"]) for annotation in own]
            target = SegmentMap(
                torch.from_numpy(ids.astype(np.int16)),
                torch.tensor(labels, dtype=torch.int64),
                torch.tensor(crowds, dtype=torch.bool),
            )
            # Each is found, moved by some pixels; every fifth with another's class.
            found = [np.roll(mask, rng.integers(0, 9), axis=1) for mask in masks]
            guessed = [label if rng.random() < 0.8 else int(rng.choice(labels)) for label in labels]
            infos = [
                {"id": place, "label_id": label, "score": float(rng.random())}
                for place, label in enumerate([*guessed, 0])
            ]
            segmentation = torch.from_numpy(np.stack(found))
            prediction = {"segmentation": segmentation, "segments_info": infos}
            metric.update(prediction, target)
            export(prediction, image_id)
    metrics = metric.compute().metrics
    expected = scored(truth, tmp_path / "out" / "instances.json")
    assert 5 < metrics["ap"] < 95
    # Sizes are told apart by the file's areas there, and by the masks' here.
    assert [metrics[name] for name in NAMES[:3]] == pytest.approx(expected[:3], abs=1e-9)
    assert [metrics[name] for name in NAMES[3:]] == pytest.approx(expected[3:], abs=1)


@pytest.mark.parametrize("first_id", [3, 1000])
def test_semantic_files_score_what_was_measured_in_memory(tmp_path, first_id):
    rng = np.random.default_rng(0)
    classes = [ClassInfo(f"class {i}", True, first_id + 7 * i) for i in range(4)]
    metric = MeanIoU(classes)
    peer = MulticlassJaccardIndex(num_classes=4, average="macro")
    truths = {}

    def image_of(number):
        return ResultImage(number, f"town {number % 2}/city.{number}.jpg", f"{number % 2}/{number}")

    with exporting(tmp_path / "out", task="semantic", classes=classes, image_of=image_of) as export:
        for image_id in range(5):
            truth = rng.integers(0, 4, (11, 14))
            prediction = torch.from_numpy(np.where(rng.random((11, 14)) < 0.6, truth, 2))
            ids = torch.from_numpy(truth).to(torch.int16)[None]
            metric.update(prediction, SegmentMap(ids, torch.arange(4), torch.zeros(4).bool()))
            export(prediction, image_id)
            truths[f"{image_id % 2}/{image_id}.png"] = torch.from_numpy(truth)
    folder = tmp_path / "out" / "semantic"
    files = {path.relative_to(folder).as_posix(): path for path in folder.glob("*/*")}
    assert set(files) == set(truths)
    content = json.loads((tmp_path / "out" / "semantic.json").read_text())
    assert [entry["id"] for entry in content["categories"]] == [c.category_id for c in classes]
    assert content["images"][3] == {
        "id": 3,
        "file_name": "town 1/city.3.jpg",
        "height": 11,
        "width": 14,
    }
    for name, path in files.items():
        values = np.asarray(Image.open(path), np.int64)
        peer.update(torch.from_numpy((values - first_id) // 7), truths[name])
        assert ((values - first_id) % 7 == 0).all()
    assert metric.compute().metrics["miou"] == pytest.approx(100 * peer.compute().item(), abs=1e-4)


def test_an_export_that_cannot_be_or_is_broken_off_leaves_nothing(tmp_path):
    def export_one(category_id, error):
        classes = [ClassInfo("a", True, category_id)]
        with exporting(tmp_path / "out", task="semantic", classes=classes) as export:
            export(torch.zeros(2, 2).long(), 1)
            raise error

    with pytest.raises(ConfigurationError, match="between 70000 and 70000"):
        export_one(70_000, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        export_one(1, KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_what_was_added_before_an_interruption_stays_and_is_read_by_pycocotools(tmp_path):
    rng = np.random.default_rng(5)
    images = [ResultImage(f"id {i}", f"x/{i}.jpg", f"x/{i}") for i in range(3)]
    found = [instances.random_image(rng)[0] for _ in images]

    def files():
        return ResultFiles(tmp_path, task="instance", classes=instances.CLASSES)

    first = files()
    for segmented, image in zip(found[:2], images, strict=False):
        first.add(segmented, image)
    journal = tmp_path / "added.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-20])  # in the middle of a line
    assert files().done == {"x/0.jpg": "x/0"}
    second = files()
    for segmented, image in zip(found[1:], images[1:], strict=True):
        second.add(segmented, image)
    assert journal.read_bytes().startswith(whole)
    second.finish()
    assert files().done == second.done
    assert {path.name for path in tmp_path.iterdir()} == {journal.name, "instances.json"}
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(tmp_path / "instances.json")
    assert [image["file_name"] for image in read.dataset["images"]] == [
        image.file_name for image in images
    ]
    for segmented, image in zip(found, images, strict=True):
        own = read.imgToAnns[image.id]
        assert [a["score"] for a in own] == [i["score"] for i in segmented["segments_info"]]
        for annotation, mask in zip(own, segmented["segmentation"], strict=True):
            assert np.array_equal(read.annToMask(annotation), mask.numpy())
            assert annotation["area"] == mask.sum()
            assert annotation["iscrowd"] == 0
            rows, columns = np.nonzero(mask.numpy())
            if len(rows):
                box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
                assert annotation["bbox"] == box


def test_stems_are_told_apart_and_stay_what_they_were():
    names = ["a.jpg", "a.png", "b/a.jpg", "A.jpg", "a-1.jpg", "c.d.e.tif"]
    expected = ["a", "a-1", "b/a", "A-2", "a-1-1", "c.d.e"]
    stems = told_apart(names)
    assert list(stems.values()) == expected
    assert told_apart(["0.jpg", "a.bmp", *names], stems) == {"0.jpg": "0", "a.bmp": "a-3"} | stems


@pytest.mark.parametrize("first_id", [0, 250])
def test_a_palette_shows_classes_and_leaves_values_as_they_are(tmp_path, first_id):
    count = 9 if first_id else 20
    classes = [ClassInfo(f"class {i}", True, first_id + i) for i in range(count)]
    found = torch.randint(count, (40, 30))
    for in_colors in (True, False):
        folder = tmp_path / str(in_colors)
        results = ResultFiles(folder, task="semantic", classes=classes, in_colors=in_colors)
        results.add(found, ResultImage(1, "a.jpg", "a"), found=[3, 1, 3])
        picture = Image.open(folder / "semantic/a.png")
        assert np.array_equal(np.asarray(picture), found.numpy() + first_id)
        is_palette = in_colors and not first_id  # 250 to 258 need 16 bits
        assert (picture.mode == "P") == is_palette
        if is_palette:
            shown = np.asarray(picture.convert("RGB"))
            assert np.array_equal(shown, class_colors(classes)[found.numpy()])
        assert list(results.found()) == [(ResultImage(1, "a.jpg", "a"), [1, 3])]
