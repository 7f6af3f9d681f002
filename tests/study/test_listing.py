"""What is in a results folder, and why a run is found or not."""

import multiprocessing

import pytest

from eomtlib.commands import main
from eomtlib.core.files.holding import HELD_FILE, held
from eomtlib.study.study import Study
from eomtlib.training.loop.plan_file import write_plan
from tests.samples import SMOKE


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch, brief):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def study(results_dir, **parameters):
    given = {**SMOKE, "rungs": "eomt", "progress": False, **parameters}
    return Study(results_dir=results_dir, **given)


def options(results_dir, **parameters):
    named = {**SMOKE, "rungs": "eomt", "results_dir": results_dir, **parameters}
    return [text for k, v in named.items() for text in (f"--{k.replace('_', '-')}", str(v))]


def hold(path, answer):
    with held(path, name="it", say=print, wait=False):
        answer.send(True)
        answer.recv()


def test_runs_are_listed_explained_and_deleted(tmp_path, capfd):
    def said(*arguments, status=0):
        assert main(["runs", *map(str, arguments)]) == status
        return "".join(capfd.readouterr())

    assert said("--results-dir", tmp_path) == f"{tmp_path}: no runs.\n"
    assert "training: none in this folder" in said("--explain", *options(tmp_path))
    one = study(tmp_path)
    (result,) = one.run()
    unfinished = study(tmp_path, batch_size=4).runs[0].folder
    write_plan(unfinished, steps=6)
    listed = said("--results-dir", tmp_path).splitlines()
    assert [line.split()[:2] for line in listed] == [
        ["name", "state"],
        [result.folder.name, "evaluated"],
        [unfinished.name, "interrupted"],
    ]
    assert "PQ" in listed[1]

    found = said("--explain", *options(tmp_path))
    for record in (result.training, result.evaluation):
        assert f"found, {record.id}" in found
    assert "eager, pytorch sampler: found" in found
    other = said("--explain", *options(tmp_path, duration="7steps", train_images=13))
    assert f"the nearest, {result.training.id}" in other
    assert "duration: 6steps there, 7steps here" in other
    assert "data: " in other
    assert "num_images" in said("--explain", *options(tmp_path, val_images=3))

    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=hold, args=(result.folder / HELD_FILE, there))
    process.start()
    here.recv()
    assert "a process is at it" in said("--results-dir", tmp_path)
    delete = ("--results-dir", tmp_path, "--delete", result.folder.name)
    assert "a process is at it; end it" in said(*delete, status=2)
    assert one.results[0].training == result.training
    process.kill()
    process.join()
    assert result.training.id in said(*delete)
    assert one.results[0].training is None
    assert not result.folder.exists()
    assert len(one.store.records("timing")) == 1
    assert "is not known" in said("--results-dir", tmp_path, "--delete", "eomt-nano", status=2)
