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
from eomtlib.core.words import FIGURES
from eomtlib.models.parts.batch_norm import BatchNorm
from eomtlib.study.store import ResultStore
from eomtlib.study.study import Study
from tests.samples import SMOKE

OPTIONS = SMOKE | {"batch_size": 4, "val_images": 5}
LEARN = """
import json, sys
from eomtlib.core import distributed
from eomtlib.study.study import Study

folder, rung, options = sys.argv[1:]
distributed.join("cpu")
Study(results_dir=folder, progress=False, **json.loads(options)).learn(rung)
distributed.leave()
"""
NORM = """
import sys, torch
from eomtlib.core import distributed
from eomtlib.models.parts.batch_norm import BatchNorm

distributed.join("cpu")
norm, (x, gradient) = BatchNorm(3), torch.load(sys.argv[1])
x = x.chunk(2)[distributed.rank()].requires_grad_()
norm(x).backward(gradient.chunk(2)[distributed.rank()])
torch.save([x.grad, norm.running_mean, norm.running_var], f"{sys.argv[1]}.{distributed.rank()}")
"""
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run(tmp_path, source, *arguments, launcher=()):
    script = tmp_path / "script.py"
    script.write_text(source)
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    command = [sys.executable, *launcher, str(script), *map(str, arguments)]
    subprocess.run(command, env=environment, check=True, timeout=600, cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("rung", ["vit-adapter-m2f", "eomt", "pmt"])
@pytest.mark.usefixtures("one_thread")
def test_two_processes_train_what_one_trains(rung, tmp_path, tmp_path_factory, monkeypatch):
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("EOMTLIB_CACHE", str(cache))
    # A few steps: later, the last digits decide which query is matched.
    options = OPTIONS | {"duration": "3steps"}
    run(tmp_path, LEARN, tmp_path / "two", rung, json.dumps(options), launcher=TWO)
    Study(results_dir=tmp_path / "one", progress=False, **options).learn(rung)
    parts = options | {"gradient_accumulation": 2}
    Study(results_dir=tmp_path / "parts", progress=False, **parts).learn(rung)

    one, two, parts = (
        load_file(next((tmp_path / name).glob("runs/*/model/*.safetensors")))
        for name in ("one", "two", "parts")
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=2e-5, msg=name)
        # Batch norm sees a part at a time.
        if rung == "eomt":
            torch.testing.assert_close(parts[name], value, rtol=0, atol=2e-5, msg=name)
    stores = [ResultStore(tmp_path / name) for name in ("one", "two", "parts")]
    records = [store.records() for store in stores]
    assert [len(found) for found in records] == [2, 2, 2]  # each written once
    trained = [store.find("training") for store in stores]
    assert [t.processes for t in trained] == [1, 2, 1]
    assert trained[1].final_loss == pytest.approx(trained[0].final_loss, rel=1e-4)
    one, two, _ = (store.find("evaluation").metrics for store in stores)
    assert two == pytest.approx(one, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
@pytest.mark.usefixtures("one_thread")
def test_two_processes_measure_what_one_measures(task, tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    steps = 400 if task == "panoptic" else 80  # until the figure is above zero
    options = OPTIONS | {"task": task, "duration": steps, "num_queries": 20, "train_images": 60}
    Study(results_dir=tmp_path / "one", progress=False, **options).learn("eomt")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for record in (tmp_path / "two" / "records").glob("evaluation-*"):
        record.unlink()
    run(tmp_path, LEARN, tmp_path / "two", "eomt", json.dumps(options), launcher=TWO)
    one, two = (ResultStore(tmp_path / name).find("evaluation") for name in ("one", "two"))
    assert one.task == two.task == task
    assert one.metrics[FIGURES[task][0]] > 0
    assert two.metrics == pytest.approx(one.metrics, nan_ok=True)
    assert two.num_images == 5  # which two processes cannot share equally


@pytest.mark.slow
def test_batch_norm_over_two_processes_is_that_of_the_whole_batch(tmp_path):
    generator = torch.Generator().manual_seed(0)
    x, gradient = (torch.randn(4, 3, 5, 2, generator=generator) for _ in range(2))
    torch.save([x * 3 + 7, gradient], tmp_path / "x")
    run(tmp_path, NORM, tmp_path / "x", launcher=TWO)
    whole = nn.BatchNorm2d(3)
    x = (x * 3 + 7).requires_grad_()
    whole(x).backward(gradient)
    for rank in range(2):
        grad, mean, variance = torch.load(tmp_path / f"x.{rank}")
        torch.testing.assert_close(grad, x.grad.chunk(2)[rank])
        torch.testing.assert_close(mean, whole.running_mean)
        torch.testing.assert_close(variance, whole.running_var)
    assert BatchNorm(3).state_dict().keys() == whole.state_dict().keys()


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"batch_size=4 .* multiple of 3"):
        Study(results_dir=tmp_path, **OPTIONS | {"gradient_accumulation": 3})
