"""What makes two runs the same: the data that they learn from and are evaluated on, and methods."""

import json
import multiprocessing
import shutil
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from eomtlib.core.code_digest import code_digest
from eomtlib.core.errors import EomtlibError
from eomtlib.core.files.holding import HELD_FILE, held
from eomtlib.core.machine.cpu_products import DEFAULT, ONEDNN
from eomtlib.core.predictions import MaskLogits
from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.evaluation.evaluate import EVALUATION_METHOD
from eomtlib.evaluation.metrics import METRICS
from eomtlib.inference.tasks import POST_PROCESSING_METHOD, get_task
from eomtlib.study.runs import fitting
from eomtlib.study.runs.fitting import begin, fit_options
from eomtlib.study.study import Study
from eomtlib.training.loop.fit import TRAINING_METHOD
from eomtlib.training.loop.plan_file import read_plan
from eomtlib.training.loop.resuming import RESUME_FILE
from tests.samples import SMOKE, weights_digest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch, brief):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def study(results_dir, rungs="eomt", **parameters):
    given = {**SMOKE, "progress": True, **parameters}
    return Study(results_dir=results_dir, rungs=rungs, **given)


def write_set(root):
    """Discs on grounds, and masks of both."""
    rows, columns = np.mgrid[:64, :64]
    for number in range(8):
        split = "val" if number % 2 else "train"
        mask = ((rows - 20 - 3 * number) ** 2 + (columns - 30) ** 2 < 200).astype(np.uint8)
        for part, pixels in (("images", 60 + 120 * mask), ("masks", mask)):
            (root / part / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / part / split / f"{number}.png")
    classes = [{"name": name, "isthing": 0, "id": k} for k, name in enumerate(("ground", "disc"))]
    (root / "classes.json").write_text(json.dumps(classes))


def turn_over(path):
    Image.fromarray(1 - np.array(Image.open(path))).save(path)


def test_other_data_are_another_run(tmp_path, capfd):
    root = tmp_path / "set"
    write_set(root)

    def learnt(data=root):
        options = {"dataset": "custom", "task": "semantic", "data_path": str(data), "duration": 2}
        (result,) = study(tmp_path / "runs", **options).learn()
        said = capfd.readouterr().err
        return result.training.id, result.evaluation.id, "trained anew" in said

    first = learnt()
    assert not first[2]
    assert learnt(shutil.copytree(root, tmp_path / "copy")) == first
    turn_over(root / "masks/val/1.png")
    other_val = learnt()
    assert other_val[0] == first[0]
    assert other_val[1] != first[1]
    turn_over(root / "masks/train/0.png")
    other_train = learnt()
    assert other_train[0] != first[0]
    assert other_train[2]
    classes = (root / "classes.json").read_text().replace("ground", "x").replace("disc", "ground")
    (root / "classes.json").write_text(classes)
    assert learnt()[0] not in (first[0], other_train[0])
    # The copy is still what it was.
    assert learnt(tmp_path / "copy") == first


def test_an_interrupted_training_does_not_go_on_with_other_data(tmp_path):
    root = tmp_path / "set"
    write_set(root)
    options = {"dataset": "custom", "task": "semantic", "data_path": str(root)}
    folders = [study(tmp_path / "runs", **options).runs[0].folder]
    turn_over(root / "masks/train/0.png")
    folders.append(study(tmp_path / "runs", **options).runs[0].folder)
    assert folders[0] != folders[1]


def hold(path, release):
    with held(path, name="it", say=print, wait=False):
        release.send("held")
        release.recv()


@pytest.fixture
def hold_run(tmp_path):
    """Another process at the first run of a study, until ``send`` is called."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    path = study(tmp_path / "runs", "eomt-masked,eomt").runs[0].folder / HELD_FILE
    process = context.Process(target=hold, args=(path, there))
    process.start()
    assert here.recv() == "held"
    yield here
    process.kill()
    process.join()


def test_a_run_that_is_held_is_left_until_last_and_waited_for(tmp_path, hold_run, capfd):
    both = study(tmp_path / "runs", "eomt-masked,eomt")
    threading.Timer(2, lambda: hold_run.send("release")).start()
    start = time.monotonic()
    results = both.learn()
    assert time.monotonic() - start > 1.9
    assert all(result.evaluation for result in results)
    said = [line for line in capfd.readouterr().err.splitlines() if ": " in line]
    order = [line.split(":")[0] for line in said if "at it" in line or ": training" in line]
    # It is said again that it is held only where that is still so once the other is done.
    assert order[:2] == ["eomt-masked", "eomt"]
    assert set(order[2:]) == {"eomt-masked"}


def test_without_waiting_the_rest_is_done_and_the_held_run_named(tmp_path, hold_run):
    both = study(tmp_path / "runs", "eomt-masked,eomt", wait=False)
    with pytest.raises(EomtlibError, match=r"at 1 of 2 run\(s\); the rest is done.*--no-wait"):
        both.learn()
    assert [result.evaluation is not None for result in both.results] == [False, True]


def test_states_are_written_every_so_many_epochs(tmp_path):
    one = study(tmp_path, train_images=12, checkpoint_every="2epochs").runs[0]
    options = fit_options(one.maker, one.folder, steps=100)
    assert options.checkpoint_every == "12steps"


@pytest.mark.usefixtures("one_thread")
def test_the_same_code_seed_and_threads_give_the_same_digits(tmp_path):
    """Between processes as well: tests of interrupted runs, and of runs side by side."""
    both = [study(tmp_path / name, progress=False, seeds="3").learn()[0] for name in ("a", "b")]
    first, second = (result.training for result in both)
    assert first.id != second.id
    assert weights_digest(both[0].folder) == weights_digest(both[1].folder)
    assert first.final_loss == second.final_loss
    assert both[0].evaluation.per_class == both[1].evaluation.per_class
    for record in (first, second):
        assert (record.code, record.environment.threads) == (code_digest(), 1)
        assert {"training", "evaluation", "post_processing", "timing"} == set(record.methods)


def test_a_run_that_goes_on_under_other_code_says_so(tmp_path, monkeypatch):
    (run,) = study(tmp_path).runs
    for code in ("first", "second", "second", "first"):
        monkeypatch.setattr(fitting, "code_digest", lambda code=code: code)
        begin(run.identity, run.folder, steps=6, products=DEFAULT)
        (run.folder / RESUME_FILE).touch()
    assert read_plan(run.folder)["code"] == "first+second"
    (run.folder / RESUME_FILE).unlink()
    begin(run.identity, run.folder, steps=6, products=DEFAULT)
    assert read_plan(run.folder)["code"] == "first"


def test_a_run_goes_on_with_the_products_that_it_began_with(tmp_path):
    (run,) = study(tmp_path).runs
    begin(run.identity, run.folder, steps=6, products=ONEDNN)
    (run.folder / RESUME_FILE).touch()
    # On another machine.
    begin(run.identity, run.folder, steps=6, products=DEFAULT)
    assert fit_options(run.maker, run.folder, steps=6).products == ONEDNN
    (run.folder / RESUME_FILE).unlink()
    begin(run.identity, run.folder, steps=6, products=DEFAULT)
    assert fit_options(run.maker, run.folder, steps=6).products == DEFAULT


# Who changes one of these figures raises the method beside it, so that none is found again.


def test_training_comes_to_what_its_method_came_to(tmp_path):
    result = study(tmp_path, progress=False, seeds="0", pretraining="none").learn()[0]
    assert (TRAINING_METHOD, result.training.final_loss) == (1, pytest.approx(19.2066, rel=1e-3))


SIZE = (48, 64)


def golden_logits():
    """Six halves of an image, some of them sure of a class; the same numbers on any machine."""
    rows, columns = torch.meshgrid(torch.arange(12), torch.arange(16), indexing="ij")
    steps = [rows - 5, 5 - rows, columns - 7, 7 - columns, rows - columns, columns + rows - 12]
    masks = torch.stack(steps).float()[None] * 4
    classes = torch.tensor([[0, 5], [1, 6], [2, 3], [0, 2], [1, 1], [2, 4]])
    logits = torch.zeros(1, 6, 4)
    for query, (label, sure) in enumerate(classes.tolist()):
        logits[0, query, label] = sure
    return MaskLogits(masks), logits


def segmented(task):
    options = {"stuff_classes": [2], "threshold": 0.5} if task == "panoptic" else {}
    process = get_task(task).post_processing(SIZE, options)
    (found,) = process(*golden_logits(), target_sizes=[SIZE])
    return found


def said_of(task, found):
    """Areas, labels and scores of what was segmented."""
    if task == "semantic":
        return found.unique(return_counts=True)[1].tolist()
    shown, infos = found["segmentation"], found["segments_info"]
    areas = [int((shown == info["id"]).sum()) for info in infos]
    if task == "instance":
        areas = shown.sum((1, 2)).tolist()
    scores = [round(info["score"], 3) for info in infos]
    return list(zip(areas, [info["label_id"] for info in infos], scores, strict=True))[:5]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("panoptic", [(1535, 0, 0.98), (1288, 1, 0.993)]),
        (
            "instance",
            [
                *((1408, 1, 0.962), (1664, 0, 0.954), (1706, 2, 0.935)),
                *((1632, 2, 0.853), (1440, 0, 0.695)),
            ],
        ),
        ("semantic", [810, 838, 1424]),
    ],
)
def test_post_processing_comes_to_what_its_method_came_to(task, expected):
    assert (POST_PROCESSING_METHOD, said_of(task, segmented(task))) == (1, expected)


CLASSES = [ClassInfo("a", True, 1), ClassInfo("b", True, 2), ClassInfo("c", False, 3)]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("panoptic", {"pq": 31.712, "sq": 31.712, "rq": 33.333, "pq_things": 47.568}),
        ("instance", {"ap": 40.667, "ap50": 66.667, "ap75": 33.333, "ap_medium": 61.0}),
        ("semantic", {"miou": 60.798}),
    ],
)
def test_evaluation_comes_to_what_its_method_came_to(task, expected):
    ids = torch.ones(1, *SIZE, dtype=torch.int16)
    ids[:, 20:] = 0
    ids[:, 20:, 20:] = 2
    target = SegmentMap(ids, torch.tensor([0, 1, 2]), torch.zeros(3, dtype=torch.bool))
    metric = METRICS[task](CLASSES)
    metric.update(segmented(task), target)
    figures = {name: round(metric.compute().metrics[name], 3) for name in expected}
    assert (EVALUATION_METHOD, figures) == (1, expected)
