"""A study end to end at a smoke size: records, resumption after SIGKILL, bad input."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from eomtlib.core.errors import CheckpointError, ConfigurationError, DataError
from eomtlib.core.words import FIGURES
from eomtlib.models.checkpoints import load_model
from eomtlib.report.pictures import segmentations
from eomtlib.study import planning
from eomtlib.study.study import Study
from eomtlib.training.loop.fit import fit, read_curves
from eomtlib.training.loop.plan_file import write_plan
from eomtlib.training.loop.trainer import FitOptions
from tests.samples import SMOKE, Batches, weights_digest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch, brief):
    # One cache for the whole session, so that the data is written once.
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def study(results_dir, rungs="eomt", **parameters):
    return Study(results_dir=results_dir, rungs=rungs, progress=False, **{**SMOKE, **parameters})


def run(results_dir, rung="eomt", **parameters):
    """The records of a study's one run."""
    (result,) = study(results_dir, rung, **parameters).run()
    return result


def test_a_rung_is_trained_evaluated_and_timed_once(tmp_path):
    first = run(tmp_path)
    assert first.training.steps == 6
    assert set(first.evaluation.per_class) == {c.name for c in study(tmp_path).classes}
    assert 0 <= first.evaluation.metrics["pq"] <= 100
    assert first.timing.fps_model > 0
    assert first.timing.rounds_model_s
    assert first.timing.photo_size == (64, 64)
    assert not list(first.folder.glob("*.ckpt"))  # weights stay, the optimizer's state does not
    again = run(tmp_path)
    assert again == first
    other = run(tmp_path, seeds=1)
    assert other.training.id != first.training.id
    assert other.timing.id == first.timing.id  # an architecture costs what it costs


@pytest.mark.parametrize("task", ["instance", "semantic"])
def test_other_tasks_are_trained_evaluated_timed_and_shown(task, tmp_path):
    one = study(tmp_path, "single-scale", task=task)
    (result,) = one.run()
    assert result.evaluation.task == result.training.task == task
    assert 0 <= result.evaluation.metrics[FIGURES[one.settings.task][0]] <= 100
    assert load_model(result.folder / "model")[1].task == task
    shown = segmentations(one, num_images=2)
    for images in shown.rows.values():
        assert [ids.shape for ids, _ in images] == [(64, 64)] * 2
        assert all(ids.max() < len(labels) for ids, labels in images)
    keys = [
        runs[0].identity.training_key for runs in (one.runs, study(tmp_path, "single-scale").runs)
    ]
    assert keys[0] != keys[1]


def test_the_same_seed_gives_the_same_figures_with_workers(tmp_path):
    alone = run(tmp_path / "a", "pmt")
    workers = run(tmp_path / "b", "pmt", workers=2)
    assert alone.evaluation.metrics == workers.evaluation.metrics
    assert alone.training.final_loss == workers.training.final_loss


def test_without_training_there_are_costs_alone(tmp_path):
    result = run(tmp_path, "single-scale", train=False)
    assert result.training is None
    assert result.evaluation is None
    assert result.timing.gmacs > 0


def test_minutes_become_steps_once(tmp_path):
    result = run(tmp_path, duration="0.02min")
    plan = json.loads((result.folder / "plan.json").read_text())
    assert plan["steps"] == result.training.steps >= 1


def test_the_plan_says_what_is_left(tmp_path):
    before = study(tmp_path, "eomt,pmt").plan()
    assert before.table["rung"].tolist() == ["eomt", "pmt"]
    run(tmp_path)
    after = study(tmp_path, "eomt,pmt").plan()
    assert after.table["finished"].tolist() == ["training, evaluation, timing", "–"]
    assert after.seconds < before.seconds


def test_trainings_at_once_share_what_does_not_multiply(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "matmul_gmacs", lambda *_: 50.0)
    alone, both, all_three = (
        study(tmp_path, "eomt,eomt-masked,pmt", duration="9000steps", jobs=jobs).plan()
        for jobs in (1, 2, 8)
    )
    assert (alone.at_once, both.at_once, all_three.at_once) == (1, 2, 3)
    # Loading, loss and optimizer of nano take longer than its products.
    assert 0.5 * alone.seconds < both.seconds < 0.75 * alone.seconds
    assert all_three.seconds < both.seconds


@pytest.mark.parametrize(
    ("rung", "every"),
    [("eomt", "0.005min"), pytest.param("vit-adapter-m2f", "5steps", marks=pytest.mark.slow)],
)
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(rung, every, tmp_path):
    options = {**SMOKE, "duration": "14steps", "checkpoint_every": every}
    whole = run(tmp_path / "whole", rung, **options)
    script = (
        "import sys, json\n"
        "from eomtlib.study.study import Study\n"
        "folder, rung, options = sys.argv[1:]\n"
        "Study(results_dir=folder, rungs=rung, progress=False, **json.loads(options)).run()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "killed"), rung, json.dumps(options)]
    process = subprocess.Popen(command, cwd=tmp_path, env=dict(os.environ))
    try:
        checkpoint = _wait_for(tmp_path / "killed", process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert checkpoint.is_file()
    interrupted = study(tmp_path / "killed", rung, **options)
    assert not interrupted.store.records("training")
    (resumed,) = interrupted.run()
    assert resumed.evaluation.metrics == whole.evaluation.metrics
    assert resumed.evaluation.per_class == whole.evaluation.per_class
    assert resumed.training.final_loss == whole.training.final_loss
    assert resumed.training.surplus_segments == whole.training.surplus_segments
    assert weights_digest(whole.folder) == weights_digest(resumed.folder)
    steps = list(read_curves(resumed.folder)["step"])
    assert steps == sorted(set(steps))


def _wait_for(runs: Path, process: subprocess.Popen) -> Path:
    for _ in range(1200):
        found = list(runs.glob("*/resume.ckpt"))
        if found:
            return found[0]
        assert process.poll() is None, "the run ended before it wrote a checkpoint"
        time.sleep(0.05)
    raise AssertionError("no checkpoint after a minute")


def test_more_segments_than_queries_is_counted_and_said_once(tmp_path):
    with pytest.warns(UserWarning, match="more segments than the model's 1 queries") as said:
        result = run(tmp_path, num_queries=1)
    assert result.training.surplus_segments > 0
    assert sum("queries" in str(w.message) for w in said) == 1


def test_bad_input_is_said_before_anything_is_trained(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no-adapter: image_size=72×72.*64×64"):
        study(tmp_path, "eomt,no-adapter", image_size=72).run()
    with pytest.raises(ConfigurationError, match=r"rungs='eomtt'.*'eomt'"):
        study(tmp_path, "eomtt")
    with pytest.raises((ConfigurationError, DataError), match="data_path"):
        study(tmp_path, dataset="coco")
    with pytest.raises(DataError, match=r"train2017.*data_path"):
        study(tmp_path, dataset="coco", data_path=str(tmp_path))
    assert not list(tmp_path.rglob("*.json"))


def test_a_results_file_that_is_no_record_is_named_and_passed_over(tmp_path):
    first = run(tmp_path, train=False)
    (tmp_path / "records" / "stray.json").write_text("{}")
    with pytest.warns(UserWarning, match=r"stray.json.*move"):
        assert run(tmp_path, train=False) == first


def test_weights_that_do_not_fit_are_said_before_anything_is_written(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"blocks.0.norm1.weight": torch.zeros(3)}, path)
    options = {"size": "small", "pretraining": "dinov2", "image_size": 64, "weights": str(path)}
    with pytest.raises(CheckpointError, match=r"weights.safetensors"):
        study(tmp_path / "results", **options)
    with pytest.raises(ConfigurationError, match=r"weights=.* no use with pretraining='none'"):
        study(tmp_path / "results", weights=str(path), pretraining="none")
    with pytest.raises(CheckpointError, match=r"weights.safetensors"):
        study(tmp_path / "results", weights=str(path))  # auto takes it for one of ours
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("zipped", [False, True])
def test_coco_from_folders_and_from_zips(one_coco, zipped, tmp_path):
    root = zip_as_published(one_coco, tmp_path / "zips") if zipped else one_coco
    options = {"dataset": "coco", "data_path": str(root), "image_size": "64x96", "duration": 2}
    result = run(tmp_path / "results", "no-adapter", **options, workers=1, seeds=5)
    assert result.training.dataset == "coco"
    assert len(result.evaluation.per_class) == 133
    assert result.evaluation.num_images == 4


def zip_as_published(folder, target):
    """A folder in the layout of the official downloads: a zip of zips for the annotations."""
    target.mkdir()
    with zipfile.ZipFile(target / "panoptic_annotations_trainval2017.zip", "w") as outer:
        for split in ("train2017", "val2017"):
            with zipfile.ZipFile(target / f"{split}.zip", "w") as images:
                for path in sorted((folder / split).iterdir()):
                    images.write(path, f"{split}/{path.name}")
            name = f"annotations/panoptic_{split}"
            outer.write(folder / f"{name}.json", f"{name}.json")
            inner = io.BytesIO()
            with zipfile.ZipFile(inner, "w") as maps:
                for path in sorted((folder / name).iterdir()):
                    maps.write(path, f"panoptic_{split}/{path.name}")
            outer.writestr(f"{name}.zip", inner.getvalue())
    return target


@pytest.mark.parametrize(
    ("precision", "compile"),
    [("bfloat16", "no"), pytest.param("float32", "yes", marks=pytest.mark.slow)],
)
def test_mixed_precision_and_compilation_on_a_resumed_run(precision, compile, tmp_path):
    options = {"precision": precision, "duration": "8steps", "checkpoint_every": "3steps"}
    assert saved_checkpoint(study(tmp_path, **options), stop_at=4) == 3
    resumed = run(tmp_path, **options, compile=compile)
    assert resumed.training.interrupted_resumes == 1
    assert resumed.timing.dtype == precision
    whole = run(tmp_path / "whole", **options)
    ours, theirs = (
        load_file(result.folder / "model" / "model.safetensors") for result in (resumed, whole)
    )
    for name, value in theirs.items():
        # Compiled, sums are taken in another order.
        tolerance = 2e-3 if compile == "yes" else 0
        torch.testing.assert_close(ours[name], value, rtol=0, atol=tolerance, msg=name)


def saved_checkpoint(unfinished, *, stop_at):
    """Interrupts a run in the step ``stop_at``; returns the step of its checkpoint."""
    (one,) = unfinished.runs
    module = one.maker.module(8)
    make_loader = module.make_loader

    def interrupted(**when):
        for batch in make_loader(**when):
            if batch.step == stop_at:
                raise RuntimeError("the machine went away")
            yield batch

    module.make_loader = lambda **when: Batches(interrupted(**when), when["steps"])
    run_dir = one.folder
    options = FitOptions(
        run_dir=run_dir,
        device="cpu",
        precision=unfinished.settings.precision,
        checkpoint_every="3steps",
        progress=False,
    )
    with pytest.raises(RuntimeError, match="went away"):
        fit(module, options)
    write_plan(run_dir, steps=8)
    return torch.load(run_dir / "resume.ckpt", weights_only=True)["global_step"]


def test_a_checkpoint_is_fine_tuned_on_other_classes(tmp_path):
    first = study(tmp_path / "first", num_queries=9)
    trained = first.run()[0].folder / "model"
    root = tmp_path / "own"
    for split in ("train", "val"):
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        for index in range(4):
            image, segments = first.runs[0].materials.val_set.read(index)
            image, ids = image[..., :48], segments.ids[0, :, :48]  # higher than wide: two windows
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(
                root / "images" / split / f"{index}.png"
            )
            thing = torch.tensor([info.is_thing for info in first.classes])[segments.labels]
            shown = thing[ids.clamp(min=0).long()] & (ids >= 0)
            Image.fromarray(shown.numpy().astype("uint8")).save(
                root / "masks" / split / f"{index}.png"
            )
    names = [{"name": "ground", "isthing": 0, "id": 0}, {"name": "thing", "isthing": 1, "id": 1}]
    (root / "classes.json").write_text(json.dumps(names))

    options = {"dataset": "custom", "data_path": str(root), "checkpoint": str(trained)}
    tuned = study(tmp_path / "tuned", num_queries=0, size="micro", **options)  # size is not heeded
    assert tuned.settings.task == "semantic"
    (result,) = tuned.run()
    _, config = load_model(result.folder / "model")
    assert (config.size, config.num_queries) == ("nano", 9)
    assert config.class_names == ("ground", "thing")
    assert result.evaluation.metrics["miou"] > 0
    start, end = (load_file(p / "model.safetensors") for p in (trained, result.folder / "model"))
    name = "encoder.backbone.blocks.0.mlp.fc1.weight"
    moved = (end[name] - start[name]).abs().max()
    assert 0 < moved < 0.05  # it went on from there
    assert tuned.runs[0].identity.training_key.checkpoint
    with pytest.raises(ConfigurationError, match=r"pmt: .*holds the rung 'eomt'"):
        study(tmp_path / "tuned", "pmt", num_queries=0, **options).run()
    with pytest.raises(ConfigurationError, match=r"leave out query_blocks"):
        study(tmp_path, query_blocks=2, **options)
