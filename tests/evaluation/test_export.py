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

from eomtlib.errors import ConfigurationError
from eomtlib.evaluation.export import exporting
from eomtlib.evaluation.instance_ap import InstanceAP
from eomtlib.evaluation.mean_iou import MeanIoU
from eomtlib.evaluation.panoptic_quality import PanopticQuality
from eomtlib.structures import ClassInfo, SegmentMap
from tests.evaluation import instances, panoptic


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
            prediction[ids == info["id"]] = position
        labels = np.array([index_of[info["category_id"]] for info in infos], int)
        read.append((*truths[annotation["image_id"]], prediction, labels))
    assert len(read) == 40
    expected = panoptic.naive_counts(read)
    torch.testing.assert_close(quality.state(), torch.from_numpy(expected), rtol=0, atol=1e-9)


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
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "out" / "instances.json")))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    metrics = metric.compute().metrics
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    assert 5 < metrics["ap"] < 95
    assert [metrics[name] for name in names] == pytest.approx(100 * evaluation.stats[:6], abs=1e-9)


@pytest.mark.parametrize("first_id", [3, 1000])
def test_semantic_files_score_what_was_measured_in_memory(tmp_path, first_id):
    rng = np.random.default_rng(0)
    classes = [ClassInfo(f"class {i}", True, first_id + 7 * i) for i in range(4)]
    metric = MeanIoU(classes)
    peer = MulticlassJaccardIndex(num_classes=4, average="macro")
    truths = {}
    with exporting(
        tmp_path / "out", task="semantic", classes=classes, name_of=lambda number: f"city_{number}"
    ) as export:
        for image_id in range(5):
            truth = rng.integers(0, 4, (11, 14))
            prediction = torch.from_numpy(np.where(rng.random((11, 14)) < 0.6, truth, 2))
            ids = torch.from_numpy(truth).to(torch.int16)[None]
            metric.update(prediction, SegmentMap(ids, torch.arange(4), torch.zeros(4).bool()))
            export(prediction, image_id)
            truths[f"city_{image_id}.png"] = torch.from_numpy(truth)
    files = list((tmp_path / "out" / "semantic").iterdir())
    assert {path.name for path in files} == set(truths)
    for path in files:
        values = np.asarray(Image.open(path), np.int64)
        peer.update(torch.from_numpy((values - first_id) // 7), truths[path.name])
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
