import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.machine import distributed
from eomtlib.core.predictions import Predictions
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.core.words import FIGURES, TASKS
from eomtlib.data.feed.loaders import eval_loader
from eomtlib.evaluation.evaluate import evaluate
from eomtlib.inference.segmenter import Segmenter
from eomtlib.inference.tasks import get_task

CLASSES = (ClassInfo("cup", True, 1), ClassInfo("table", False, 2), ClassInfo("sky", False, 3))
# Of segments 0, 1 and 2.
LABELS = torch.tensor([2, 1, 0])
CANVAS = (32, 32)


class Coloured:
    """Images whose red channel says which segment a pixel belongs to."""

    classes = CLASSES
    # They touch the canvas as they are, so that fitting leaves their pixels alone.
    sizes = np.array([(32, 20), (32, 32), (24, 32)])
    image_ids = np.array([7, 8, 9])

    def __len__(self):
        return len(self.sizes)

    def read(self, index):
        height, width = self.sizes[index]
        ids = torch.zeros(height, width, dtype=torch.int16)
        ids[height // 2 :] = 1
        ids[2:9, 3:9] = 2
        image = torch.zeros(3, height, width, dtype=torch.uint8)
        image[0] = 50 * (ids + 1).to(torch.uint8)
        return image, SegmentMap(ids[None], LABELS, torch.zeros(3).bool())


class ForWindows(Coloured):
    """The same with a side of the window each, so that the windows' pixels are the image's."""

    sizes = np.array([(32, 70), (32, 32), (90, 32)])


def oracle(images):
    assert images.dtype == torch.uint8
    assert len(images) <= 2
    masks = torch.stack([images[:, 0] == 50 * (i + 1) for i in range(3)], 1).float() * 20 - 10
    return masks, torch.nn.functional.one_hot(LABELS, 4).float().expand(len(images), 3, 4) * 20


def wrong_about_cups(images):
    masks, classes = oracle(images)
    return masks, classes[..., [1, 0, 2, 3]]


class Model(torch.nn.Module):
    """What a segmenter asks of a model, answered by a function."""

    encoder = SimpleNamespace(image_size=CANVAS, products=lambda *_, **__: "default")

    def __init__(self, predict):
        super().__init__()
        self.predict = predict

    def predict_final(self, images, *, masked=None):
        masks, classes = self.predict(images)
        return Predictions.from_dense([masks], [classes])


def segmenter(predict, task, **options):
    options = get_task(task).class_options(CLASSES) | options
    return Segmenter(Model(predict), task=task, precision="float32", **options)


def run(predict, task, *, options=None, **arguments):
    in_windows = get_task(task).in_windows
    dataset = ForWindows() if in_windows else Coloured()
    loader = eval_loader(dataset, canvas=CANVAS, batch_size=2, num_workers=0, in_windows=in_windows)
    segment = segmenter(predict, task, **options or {})
    return evaluate(segment, loader, classes=CLASSES, progress=False, **arguments)


@pytest.mark.parametrize("task", TASKS)
def test_an_oracle_reaches_the_whole_in_every_task(task):
    result = run(oracle, task)
    assert result.metrics[FIGURES[task][0]] == pytest.approx(100)
    assert result.metrics["n"] == 3
    assert set(result.per_class) == {"cup", "table", "sky"}


def test_thresholds_and_classes_count():
    result = run(wrong_about_cups, "panoptic")
    assert result.metrics["pq_things"] == 0
    assert result.per_class["sky"]["pq"] == pytest.approx(100)
    assert result.per_class["table"]["fp"] == 3
    assert run(oracle, "panoptic", options={"threshold": 1.0}).metrics["pq"] == 0
    surest = run(wrong_about_cups, "instance", options={"top_k": 3})
    assert surest.per_class["cup"]["ap"] == 0
    assert run(wrong_about_cups, "semantic").per_class["sky"]["iou"] == pytest.approx(100)


@pytest.mark.parametrize("task", TASKS)
def test_processes_that_share_a_data_set_add_up_to_one(task, monkeypatch):
    states = []

    def gathered(state):
        """Of the processes up to this one, as they send it to each other."""
        states.append(pickle.loads(pickle.dumps(state)))
        return states

    whole = run(wrong_about_cups, task)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "gathered", gathered)
    in_windows = get_task(task).in_windows
    dataset = ForWindows() if in_windows else Coloured()
    for rank in range(2):
        loader = eval_loader(
            dataset,
            canvas=CANVAS,
            num_workers=0,
            in_windows=in_windows,
            rank=rank,
            world_size=2,
        )
        result = evaluate(
            segmenter(wrong_about_cups, task), loader, classes=CLASSES, progress=False
        )
    assert result == whole


def test_watchers_get_each_image_as_it_comes():
    seen = []
    run(oracle, "semantic", watchers=[lambda *image: seen.append(image)])
    assert [image_id for *_, image_id in seen] == [7, 8, 9]
    for segmented, target, _ in seen:
        assert segmented.shape == target.ids.shape[1:]
    assert [tuple(segmented.shape) for segmented, *_ in seen] == [(32, 70), (32, 32), (90, 32)]


def test_what_is_not_known_is_refused():
    with pytest.raises(ConfigurationError, match=r"'treshold' is not known.*'threshold'"):
        run(oracle, "instance", options={"treshold": 0.5})
    with pytest.raises(ConfigurationError, match="stuff_classes is not set"):
        get_task("panoptic").post_processing(CANVAS, {})
