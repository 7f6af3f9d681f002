"""Two processes, and a step in parts, train what one process trains."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.words import FIGURES, TASKS
from eomtlib.models.parts.batch_norm import BatchNorm
from eomtlib.study.records.store import ResultStore
from eomtlib.study.study import Study
from tests.samples import SMOKE, draw_through

OPTIONS = SMOKE | {"pretraining": "none", "batch_size": 4, "val_images": 5}
# A few steps: later, the last digits decide which query is matched.
FEW = OPTIONS | {"duration": "3steps"}
RUNGS = ("vit-adapter-m2f", "eomt", "pmt")
# All that two processes do here: starting them takes longer than what they do.
TWO_PROCESSES = """
import json, sys
from pathlib import Path

import torch

from eomtlib.core.machine import distributed
from eomtlib.models.parts.batch_norm import BatchNorm
from eomtlib.study.study import Study
from tests.training.loop.test_loop import spoil

distributed.join("cpu")
folder = Path(sys.argv[1])
for name, rung, options in json.loads((folder / "jobs.json").read_text()):
    study = Study(results_dir=folder / name, rungs=rung, progress=False, **options)
    if "spoiled" in name and distributed.is_first():  # of one process alone
        spoil(study, {1})
    study.learn()
rank = distributed.rank()
norm, (x, gradient) = BatchNorm(3), torch.load(folder / "norm")
x = x.chunk(2)[rank].requires_grad_()
norm(x).backward(gradient.chunk(2)[rank])
torch.save([x.grad, norm.running_mean, norm.running_var], folder / f"norm.{rank}")
distributed.leave()
"""


# What else several processes do in other ways than one.
OTHERWISE = {
    "parts": ("eomt", FEW | {"gradient_accumulation": 2}),
    "bfloat16": ("eomt", FEW | {"precision": "bfloat16"}),
    "taps": ("pmt", FEW | {"taps": "1,3", "freeze": "none"}),
    "validated": ("eomt", FEW | {"validate_every": "1steps", "overrides": "ema_decay=0.5"}),
    "resumed": ("eomt", FEW | {"checkpoint_every": "1steps"}),
    "spoiled": ("eomt", FEW),
}


def interrupt(folder):
    """Leaves the state of one process after two of three steps."""
    rung, options = OTHERWISE["resumed"]
    run = Study(results_dir=folder, rungs=rung, progress=False, **options).runs[0]

    def ends(batches, _):
        for batch in batches:
            if batch.step == 2:
                raise RuntimeError("the machine went away")
            yield batch

    draw_through(run, ends)
    with pytest.raises(RuntimeError, match="went away"):
        run.learn()


def options_of(task):
    """Until the task's first figure is above zero."""
    steps = 400 if task == "panoptic" else 80
    return OPTIONS | {"task": task, "duration": steps, "num_queries": 20, "train_images": 60}


def norm_input():
    generator = torch.Generator().manual_seed(0)
    x, gradient = (torch.randn(4, 3, 5, 2, generator=generator) for _ in range(2))
    return x * 3 + 7, gradient


@pytest.fixture(scope="module")
def done(tmp_path_factory, one_thread):
    """What two processes have done, beside what one has: a folder for each rung and each task."""
    folder = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        jobs = [(f"{rung}/two", rung, FEW) for rung in RUNGS]
        for task in TASKS:
            one, two, options = folder / task / "one", folder / task / "two", options_of(task)
            Study(results_dir=one, rungs="eomt", progress=False, **options).learn()
            shutil.copytree(one, two)
            for record in (two / "records").glob("evaluation-*"):
                record.unlink()
            jobs.append((f"{task}/two", "eomt", options))
        for name, (rung, options) in OTHERWISE.items():
            jobs.append((f"{name}/two", rung, options))
        interrupt(folder / "resumed" / "two")
        (folder / "jobs.json").write_text(json.dumps(jobs))
        torch.save(norm_input(), folder / "norm")
        (folder / "script.py").write_text(TWO_PROCESSES)
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
        command = [sys.executable, *launcher, str(folder / "script.py"), str(folder)]
        root = str(Path(__file__).parents[3])
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
        subprocess.run(command, env=environment, check=True, timeout=900, cwd=folder)
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize("rung", RUNGS)
def test_two_processes_train_what_one_trains(rung, done):
    folder = done / rung
    Study(results_dir=folder / "one", rungs=rung, progress=False, **FEW).learn()
    parts = FEW | {"gradient_accumulation": 2}
    Study(results_dir=folder / "parts", rungs=rung, progress=False, **parts).learn()

    one, two, parts = (
        load_file(next((folder / name).glob("*/model/*.safetensors")))
        for name in ("one", "two", "parts")
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=2e-5, msg=name)
        # Batch norm sees a part at a time.
        if rung == "eomt":
            torch.testing.assert_close(parts[name], value, rtol=0, atol=2e-5, msg=name)
    stores = [ResultStore(folder / name) for name in ("one", "two", "parts")]
    records = [store.records() for store in stores]
    assert [len(found) for found in records] == [2, 2, 2]  # each written once
    trained = [store.find("training") for store in stores]
    assert [t.processes for t in trained] == [1, 2, 1]
    assert trained[1].final_loss == pytest.approx(trained[0].final_loss, rel=1e-4)
    one, two, _ = (store.find("evaluation").metrics for store in stores)
    assert two == pytest.approx(one, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OTHERWISE if name != "spoiled"])
def test_two_processes_do_otherwise_what_one_does(name, done):
    rung, options = OTHERWISE[name]
    Study(results_dir=done / name / "one", rungs=rung, progress=False, **options).learn()
    one, two = (
        load_file(next((done / name / side).glob("*/model/*.safetensors")))
        for side in ("one", "two")
    )
    # Gradients of 16 bits are summed in another order.
    tolerance = 2e-3 if name == "bfloat16" else 2e-5
    for entry, value in one.items():
        torch.testing.assert_close(two[entry], value, rtol=0, atol=tolerance, msg=entry)
    trained = [ResultStore(done / name / side).find("training") for side in ("one", "two")]
    assert trained[1].processes == 2
    assert trained[1].interrupted_resumes == (name == "resumed")
    assert trained[1].best == pytest.approx(trained[0].best, abs=1e-6)
    assert bool(trained[1].best) == (name == "validated")


@pytest.mark.slow
def test_a_gradient_that_is_not_finite_on_one_process_leaves_the_step_out_on_both(done):
    trained = ResultStore(done / "spoiled" / "two").find("training")
    assert (trained.processes, trained.skipped_steps) == (2, 1)
    two, whole = (
        load_file(next((done / name / side).glob("*/model/*.safetensors")))
        for name, side in (("spoiled", "two"), ("eomt", "two"))
    )
    assert all(value.isfinite().all() for value in two.values())
    assert any((two[name] != value).any() for name, value in whole.items())


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_two_processes_measure_what_one_measures(task, done):
    one, two = (ResultStore(done / task / name).find("evaluation") for name in ("one", "two"))
    assert one.task == two.task == task
    assert one.id != two.id
    assert one.metrics[FIGURES[task][0]] > 0
    assert two.metrics == pytest.approx(one.metrics, nan_ok=True)
    assert two.num_images == 5  # which two processes cannot share equally


@pytest.mark.slow
def test_batch_norm_over_two_processes_is_that_of_the_whole_batch(done):
    whole, (x, gradient) = nn.BatchNorm2d(3), norm_input()
    x.requires_grad_()
    whole(x).backward(gradient)
    for rank in range(2):
        grad, mean, variance = torch.load(done / f"norm.{rank}")
        torch.testing.assert_close(grad, x.grad.chunk(2)[rank])
        torch.testing.assert_close(mean, whole.running_mean)
        torch.testing.assert_close(variance, whole.running_var)
    assert BatchNorm(3).state_dict().keys() == whole.state_dict().keys()


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"batch_size=4 .* multiple of 3"):
        Study(results_dir=tmp_path, **OPTIONS | {"gradient_accumulation": 3})
