"""Trainings at the same time end as they do one after the other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from eomtlib.core.errors import ConfigurationError, EomtlibError
from eomtlib.study import study as study_module
from eomtlib.study.points import grid
from eomtlib.study.records.store import ResultStore
from eomtlib.study.side_by_side import default_jobs, device_of, learn_side_by_side
from eomtlib.study.study import Study
from eomtlib.training.loop.fit import trained_steps
from eomtlib.training.loop.resuming import RESUME_FILE
from tests.samples import SMOKE, weights_digest

TWO = grid(seed="0,1", rung="eomt")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch, brief):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.usefixtures("one_thread")
def test_runs_side_by_side_are_those_one_after_the_other(tmp_path, monkeypatch):
    called = []

    def learn(runs, *, jobs):
        called.append(([run.rung for run in runs], jobs))
        learn_side_by_side(runs, jobs=jobs)

    monkeypatch.setattr(study_module, "learn_side_by_side", learn)
    alone, both = (
        Study(TWO, results_dir=tmp_path / str(jobs), progress=False, jobs=jobs, **SMOKE).learn()
        for jobs in (1, 2)
    )
    assert [r.evaluation.metrics for r in both] == [r.evaluation.metrics for r in alone]
    for one, other in zip(alone, both, strict=True):
        assert weights_digest(one.folder) == weights_digest(other.folder)
    assert called == [(["eomt", "eomt"], 2)]
    again = Study(TWO, results_dir=tmp_path / "2", progress=False, jobs=2, **SMOKE).learn()
    assert [r.training.id for r in again] == [r.training.id for r in both]
    assert len(called) == 1


def test_points_that_share_a_training_are_trained_once(tmp_path):
    points = grid(inference_masking="masked,unmasked", rung="eomt-masked")
    runs = Study(points, results_dir=tmp_path, progress=False, jobs=2, **SMOKE).learn()
    assert len(ResultStore(tmp_path).records("training")) == 1
    assert [run.evaluation.masking for run in runs] == ["masked", "unmasked"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("model", EomtlibError, r"weights cannot be written.*nothing is kept"),
        ("logs", RuntimeError, r"eomt, seed 1:\n.*Traceback"),
    ],
)
def test_an_error_in_a_process_is_raised_here(name, error, said, tmp_path):
    runs = Study(TWO, results_dir=tmp_path, progress=False, **SMOKE).runs
    broken = runs[1].folder
    broken.mkdir(parents=True)
    (broken / name).write_bytes(b"nothing of ours")
    with pytest.raises(error, match=f"(?s){said}"):
        learn_side_by_side(runs, jobs=1)
    assert runs[0].is_learnt()
    assert not runs[1].is_learnt()


def test_several_at_once_only_where_small_models_take_minutes(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    free = SimpleNamespace(available=64 << 30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    options = {"results_dir": tmp_path, "rungs": "eomt", "progress": False}
    (small,) = Study(**options, **SMOKE).runs
    (large,) = Study(**options, **SMOKE | {"size": "small", "pretraining": "none"}).runs
    assert default_jobs([small] * 3, seconds=200) == 3
    assert default_jobs([small] * 9, seconds=2000) == 4
    free.available = 5 << 30
    assert default_jobs([small] * 9, seconds=2000) == 2
    assert default_jobs([small] * 3, seconds=100) == 1
    assert default_jobs([small, large], seconds=1000) == 1


def test_each_process_takes_a_gpu_where_none_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    named = [device_of("cuda", slot) for slot in range(3)]
    assert named == ["cuda:0", "cuda:1", "cuda:0"]
    assert device_of("cuda:1", 0) == "cuda:1"
    assert device_of("cpu", 1) == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_of("cuda", 1) == "cuda"


@pytest.mark.parametrize("bad", ["many", -1, 1.5])
def test_jobs_that_are_no_number_are_said(bad):
    with pytest.raises(ConfigurationError, match="jobs="):
        Study(jobs=bad)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_all_write_a_checkpoint_where_the_first_process_ends(sent, tmp_path):
    options = SMOKE | {"duration": "4000steps", "checkpoint_every": "9999steps"}
    options |= {"results_dir": tmp_path, "seeds": "0,1", "jobs": 2}
    command = [sys.executable, "-m", "eomtlib", "fit"]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": root},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        while not _all_runs(tmp_path, lambda folder: trained_steps(folder) > 3):
            assert process.poll() is None
            time.sleep(0.5)
        # Ctrl-C in a terminal goes to all that was started there.
        os.killpg(process.pid, sent)
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
    if sent == signal.SIGKILL:  # its processes notice by themselves
        for _ in range(240):
            if _all_runs(tmp_path, lambda folder: (folder / RESUME_FILE).is_file()):
                break
            time.sleep(0.5)
    else:
        assert process.returncode == 130
        assert b"run again" in said
    assert _all_runs(tmp_path, lambda folder: (folder / RESUME_FILE).is_file())


def _all_runs(results_dir, is_true):
    folders = list(results_dir.glob("eomt-*"))
    return len(folders) == 2 and all(is_true(folder) for folder in folders)
