"""A training goes on through steps that fail; it is validated, averaged, killed and resumed."""

import json
import math
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from eomtlib.core.errors import ConfigurationError, EomtlibError
from eomtlib.evaluation.evaluate import evaluate
from eomtlib.models.checkpoints import identify, load_model
from eomtlib.study.study import Study
from eomtlib.training.duration import parse_interval
from eomtlib.training.loop import resuming
from eomtlib.training.loop.averaging import AveragedModel
from eomtlib.training.loop.fit import read_curves
from eomtlib.training.loop.plan_file import read_plan
from eomtlib.training.loop.resuming import RESUME_FILE, ResumeFile, states
from tests.samples import SMOKE, draw_through, weights_digest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch, brief):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def study(results_dir, **parameters):
    given = {**SMOKE, "rungs": "eomt", "progress": False, **parameters}
    return Study(results_dir=results_dir, **given)


def spoil(one, steps):
    """Makes one number of one gradient NaN in some steps of a study's run."""
    run = one.runs[0]
    make = run.maker.module

    def module(number):
        made = make(number)

        def hook(gradient):
            spoiled = gradient.clone()
            if made.global_step in steps:
                spoiled.view(-1)[0] = math.nan
            return spoiled

        next(p for p in made.model.parameters() if p.requires_grad).register_hook(hook)
        return made

    run.maker.module = module
    return one


def test_a_step_without_a_finite_gradient_is_left_out(tmp_path):
    options = {"duration": "6steps", "overrides": "ema_decay=0.5"}
    one = spoil(study(tmp_path, **options), {3})
    (result,) = one.learn()
    assert result.training.skipped_steps == 1
    state = load_file(result.folder / "model" / "model.safetensors")
    assert all(value.isfinite().all() for value in state.values())
    curves = read_curves(result.folder)
    assert curves["skipped_steps"].tolist() == [0, 0, 0, 1, 1, 1]
    assert curves["grad_norm"].isna().tolist() == [False, False, False, True, False, False]
    (plain,) = study(tmp_path / "plain", **options).learn()
    assert plain.training.skipped_steps == 0
    # Before it nothing differs, and after it something does.
    same = (read_curves(plain.folder)["loss"] == curves["loss"]).tolist()
    assert same == [True, True, True, True, False, False]


def test_ten_in_a_row_end_a_run_which_goes_on_from_its_last_state(tmp_path):
    options = {"duration": "20steps", "checkpoint_every": "4steps"}
    one = spoil(study(tmp_path, **options), range(6, 20))
    with pytest.raises(EomtlibError, match=r"not finite in 10 steps in a row, up to step 15"):
        one.learn()
    folder = one.runs[0].folder
    content = torch.load(folder / RESUME_FILE, weights_only=True)
    assert all(value.isfinite().all() for value in content["state_dict"].values())
    (result,) = study(tmp_path, **options).learn()
    assert result.training.interrupted_resumes == 1
    assert result.training.skipped_steps == content["skipped_steps"] > 0
    assert result.training.steps == 20


def test_an_average_follows_the_weights():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    averaged = AveragedModel(model, 0.8)
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(1, 40):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        model(torch.randn(5, 3))
        decay = min(0.8, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
            else:
                expected[name] = value.clone()
        averaged.update(model)
    for name, value in averaged.average.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert not any(p.requires_grad for p in averaged.parameters())


@pytest.mark.parametrize(
    ("given", "expected"), [("10%", 0.1), ("2.5 %", 0.025), ("500steps", "500steps"), (7, "7steps")]
)
def test_intervals(given, expected):
    found = parse_interval(given, parameter="validate_every")
    assert (found if isinstance(found, float) else str(found)) == expected


@pytest.mark.parametrize("wrong", ["0%", "101%", "5min", "often", ""])
def test_what_is_no_interval_is_refused(wrong):
    with pytest.raises(
        ConfigurationError, match=r"validate_every=.* '500steps', '1epochs' or '10%'|is no duration"
    ):
        parse_interval(wrong, parameter="validate_every")


def test_validation_is_the_evaluation_of_what_is_there(tmp_path):
    """The last point of the curve is the record's figure, and the best weights have theirs."""
    options = {
        "task": "semantic",
        "duration": "40steps",
        "num_queries": 20,
        "overrides": "ema_decay=0.9",
    }
    one = study(tmp_path, **options, validate_every="25%", validate_on=4)
    (result,) = one.learn()
    curves = read_curves(result.folder).dropna(subset="val_miou")
    assert curves["step"].tolist() == [9, 19, 29, 39]
    figures = curves["val_miou"].tolist()
    assert figures[-1] == pytest.approx(result.evaluation.metrics["miou"], abs=1e-9)
    best = result.training.best
    assert best["miou"] == max(figures) > 0
    assert best["step"] - 1 == curves["step"].tolist()[figures.index(max(figures))]
    maker = one.runs[0].maker
    found = evaluate(
        maker.segmenter(load_model(result.folder / "best")[0]),
        maker.val_loader(4),
        classes=one.classes,
        progress=False,
    )
    assert found.metrics["miou"] == pytest.approx(best["miou"], abs=1e-9)
    # It changes nothing of what is learned, so that it is no part of what a run is.
    plain = study(tmp_path, **options)
    assert plain.runs[0].result().training == result.training
    assert result.training.validation_s > 0
    (without,) = study(tmp_path / "without", **options).learn()
    assert weights_digest(without.folder) == weights_digest(result.folder)


def test_early_stopping_ends_a_training_and_is_part_of_what_it_is(tmp_path):
    options = {"duration": "40steps", "validate_every": "2steps", "validate_on": 1}
    # PQ stays 0 for long in so short a training.
    (result,) = study(tmp_path, **options, early_stopping=3).learn()
    assert result.training.steps == 8
    assert result.training.best["step"] == 2
    assert result.evaluation is not None
    assert not states(result.folder)
    assert study(tmp_path, **options).runs[0].result().training is None
    with pytest.raises(ConfigurationError, match=r"early_stopping=3 needs figures"):
        study(tmp_path, early_stopping=3)


@pytest.mark.parametrize("overrides", ["", "ema_decay=0.9"])
def test_an_unfinished_run_is_a_checkpoint(overrides, tmp_path, capsys):
    options = {"duration": "20steps", "checkpoint_every": "4steps", "overrides": overrides}
    one = spoil(study(tmp_path, **options), range(2, 20))
    with pytest.raises(EomtlibError):
        one.learn()
    folder = one.runs[0].folder
    prefix = "averaged.average." if overrides else "model."
    for path in (folder, folder / RESUME_FILE):
        assert identify(path).layout.title == "an unfinished training of eomtlib"
        model, config = load_model(path)
        state = torch.load(folder / RESUME_FILE, weights_only=True)["state_dict"]
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, state[prefix + name], rtol=0, atol=0)
        assert config.task == "panoptic"
    study(tmp_path, **options).learn()
    # Now it is finished, and its folder is the finished model.
    assert identify(folder).path == folder / "model" / "model.safetensors"
    assert not list(folder.glob("unfinished*"))


def test_states_are_written_so_seldom_that_they_take_little_of_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(resuming.time, "monotonic", lambda: now[0])

    class Trainer:
        global_step, world_size = 0, 1

        def __init__(self):
            self.saved = []

        def save_checkpoint(self, path):
            self.saved.append(now[0])
            now[0] += 7.0

    trainer, callback = Trainer(), ResumeFile(Path("resume.ckpt"), None)
    callback.on_train_start(trainer, None)
    try:
        for _ in range(5000):
            now[0] += 1.0
            trainer.global_step += 1
            callback.on_train_batch_end(trainer)
    finally:
        callback.on_train_end()
    assert trainer.saved[0] == 60
    assert 7 * len(trainer.saved) < 0.012 * now[0] + 7
    assert len(trainer.saved) > 5


STEPS = int(os.environ.get("EOMTLIB_KILLED_STEPS", 24))
RUNG = os.environ.get("EOMTLIB_KILLED_RUNG", "eomt")


def run_of(folder):
    """What is killed and started again: averaged and validated."""
    options = {
        "rungs": RUNG,
        "duration": STEPS,
        "checkpoint_every": f"{STEPS // 8}steps",
        "validate_every": f"{STEPS // 6}steps",
    }
    return study(folder, **options, overrides="ema_decay=0.9").runs[0]


def outcome(run):
    training = run.result().training
    curves = read_curves(run.folder)
    timed = [c for c in curves if c in ("images_per_second", "data_wait", "memory_mib")]
    best = load_file(run.folder / "best" / "model.safetensors")
    return (
        weights_digest(run.folder),
        training.best,
        training.final_loss,
        {name: value.sum().item() for name, value in best.items()},
        json.loads(curves.drop(columns=timed).to_json()),
        run.result().evaluation.metrics,
    )


def kill_at_random(folder):
    """Ten kills at drawn moments, one of them in the middle of writing a state."""
    context, draw = multiprocessing.get_context("fork"), random.Random(7)
    for number, step in enumerate(sorted(draw.sample(range(2, STEPS), 10))):
        arguments = (folder, step, draw.uniform(0, 0.15), number == 5)
        process = context.Process(target=_dies, args=arguments)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL


def _dies(folder, step, delay, in_writing):
    """Learns until it is killed a while after a step has begun, or in the next writing."""
    run, write = run_of(folder), resuming.write_atomically

    def half(path, function):
        def cut(file):
            function(file)
            file.flush()
            os.ftruncate(file.fileno(), file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

        write(path, cut)

    def dying(batches, first):
        for batch in batches:
            if batch.step >= step and in_writing:
                resuming.write_atomically = half
            elif batch.step == max(step, first):
                threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
            yield batch

    draw_through(run, dying)
    run.learn()
    time.sleep(delay + 1)  # it was done before the kill


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_run_that_is_killed_ten_times_is_that_of_an_undisturbed_one(tmp_path):
    quiet = run_of(tmp_path / "quiet")
    quiet.learn()
    root = Path(__file__).parents[3]
    lines = ("import sys", "from tests.training.loop import test_loop as t")
    program = "\n".join((*lines, "t.kill_at_random(sys.argv[1])"))
    subprocess.run(
        [sys.executable, "-c", program, tmp_path / "disturbed"],
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        check=True,
    )
    disturbed = run_of(tmp_path / "disturbed")
    disturbed.learn()
    assert disturbed.result().training.interrupted_resumes > 0
    assert outcome(disturbed) == outcome(quiet)


@pytest.mark.parametrize("logger", ["wandb", "mlflow"])
def test_a_resumed_run_goes_on_under_its_name(logger, tmp_path, monkeypatch):
    pytest.importorskip(logger)
    for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    options = {"duration": "20steps", "checkpoint_every": "2steps", "loggers": logger}
    one = spoil(study(tmp_path, **options), range(4, 20))
    with pytest.raises(EomtlibError):
        one.learn()
    folder = one.runs[0].folder
    first = read_plan(folder)["ids"][logger]
    (result,) = study(tmp_path, **options).learn()
    assert read_plan(folder)["ids"] == {logger: first}
    figure = result.evaluation.metrics["pq"]
    if logger == "wandb":
        sittings = list((folder / "wandb").glob("offline-run-*"))
        assert len(sittings) >= 2
        assert {path.name.rpartition("-")[2] for path in sittings} == {first}
        return
    from mlflow import MlflowClient

    client = MlflowClient(f"file:{folder}/mlflow")
    (experiment,) = [e for e in client.search_experiments() if e.name == "eomtlib"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == first
    assert run.data.params["rung"] == "eomt"
    assert float(run.data.params["lr"]) == 1e-3
    assert run.data.metrics["final_pq"] == pytest.approx(figure)
    assert len(client.get_metric_history(first, "loss")) >= 10
