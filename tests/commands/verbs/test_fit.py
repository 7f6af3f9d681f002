"""Training from the command line: configurations, and SIGTERM as SLURM sends it."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from eomtlib.commands import main
from eomtlib.study.records.store import ResultStore
from eomtlib.study.study import Study
from eomtlib.training.loop.fit import read_curves
from tests.samples import SMOKE, weights_digest


def arguments(folder, **options):
    options = SMOKE | {"results_dir": folder} | options
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


def test_options_override_a_file_which_overrides_defaults(tmp_path, capsys):
    file = tmp_path / "config.yaml"
    file.write_text("size: micro\nduration: 5min\nimage_size: 48x64\nseeds: [0, 1]\n")
    given = ["--config", str(file), "--duration=7steps", "--print-config"]
    assert main(["fit", *given, "--raw"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {
        "size": "micro",
        "duration": "7steps",
        "image_size": "48x64",
        "seeds": ["0", "1"],
    }
    assert main(["fit", *given]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["image_size"], shown["seeds"], shown["rungs"]) == ("48x64", "0,1", "eomt")
    # What nobody said is resolved: what comes with that size, and the task is the first.
    assert (shown["pretraining"], shown["task"]) == ("shapes-ssl", "panoptic")
    assert shown["batch_size"] == 8
    printed = tmp_path / "printed.json"
    printed.write_text(json.dumps(shown))
    assert main(["fit", "--config", str(printed), "--print-config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sise", "nano"], "--sise is no option of fit. Did you mean --size"),
        (["--durat=3"], "--durat is no option of fit. Did you mean --duration"),
        (["--size", "nanoo"], "size='nanoo'.*Did you mean 'nano'"),
    ],
)
def test_a_wrong_option_is_answered_with_the_right_one(arguments, said, capsys):
    assert main(["fit", *arguments, "--print-config"]) == 2
    assert re.search(said, capsys.readouterr().err)


def test_help_of_any_verb_needs_no_torch():
    script = "import sys; from eomtlib.commands import main; main()"
    for verb in ("fit", "predict", "book"):
        check = (
            f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {script}"
        )
        shown = subprocess.run(
            [sys.executable, "-c", check, verb, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout.endswith("False\n")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    assert main(["fit", "--quiet", *arguments(taken / "results", duration=2)]) == 2
    said = capsys.readouterr().err
    assert str(taken) in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("sizes: nano", "config.yaml: parameter='sizes'.*Did you mean 'size'"),
        ("- size", "must hold names and values"),
        ("size: {a: 1}", "size must be a number, a text"),
        ("size: [", "cannot be read"),
        ("size: enormous", "size='enormous'"),
    ],
)
def test_what_a_file_gets_wrong_is_named(content, said, tmp_path, capsys):
    file = tmp_path / "config.yaml"
    file.write_text(content)
    assert main(["fit", "--config", str(file)]) == 2
    assert re.search(said, capsys.readouterr().err)


def test_fit_writes_what_a_study_finds(tmp_path, capfd):
    assert main(["fit", "--quiet", "--json", *arguments(tmp_path, duration=2)]) == 0
    said, beside = capfd.readouterr()
    assert beside == ""
    (told,) = json.loads(said)["runs"]
    recorded = ResultStore(tmp_path).find("evaluation")
    assert (told["rung"], told["seed"], told["task"]) == ("eomt", 0, "panoptic")
    assert told["metrics"] == {
        name: None if math.isnan(value) else value for name, value in recorded.metrics.items()
    }
    assert (Path(told["model"]) / "config.json").is_file()
    assert main(["fit", *arguments(tmp_path, duration=2)]) == 0
    said, beside = capfd.readouterr()
    assert "Found of 1 run: 1 training, 1 evaluation." in beside
    assert "**" not in beside
    assert "eomt, seed 0: PQ " in said
    assert "n_stuff" not in said
    assert "never found" in said  # after two steps
    (folder,) = (tmp_path / "figures").iterdir()
    assert {path.suffix for path in folder.iterdir()} == {".png", ".svg"}
    assert f"eomtlib predict --checkpoint {folder.name} --results-dir {tmp_path} " in beside
    assert [record.kind for record in ResultStore(tmp_path).records()] == ["training", "evaluation"]
    study = Study(rungs="eomt", results_dir=tmp_path, progress=False, **SMOKE | {"duration": 2})
    assert study.plan().table["finished"].tolist() == ["training, evaluation"]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_sigterm_leaves_a_checkpoint_and_the_same_command_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path / "cache"))
    options = {"duration": "40steps", "checkpoint_every": "1000steps"}
    study = Study(rungs="eomt", results_dir=tmp_path / "whole", progress=False, **SMOKE | options)
    (whole,) = study.run()
    command = [sys.executable, "-m", "eomtlib", "fit", *arguments(tmp_path / "cut", **options)]
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}

    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE)
    run_dir = None
    for _ in range(1200):
        run_dir = next((tmp_path / "cut").glob("eomt-*"), None)
        if run_dir is not None and len(read_curves(run_dir)) > 3:
            break
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"run again to go on" in said
    assert (run_dir / "resume.ckpt").is_file()
    assert not ResultStore(tmp_path / "cut").records()

    subprocess.run(command, env=environment, cwd=tmp_path, check=True, timeout=600)
    store = ResultStore(tmp_path / "cut")
    assert store.find("training").interrupted_resumes == 1
    assert store.find("evaluation").metrics == whole.evaluation.metrics
    first, second = (next((tmp_path / name).glob("eomt-*")) for name in ("whole", "cut"))
    assert weights_digest(first) == weights_digest(second)


@pytest.mark.slow
def test_two_processes_fit_one_run_from_the_command_line(tmp_path):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    given = arguments(tmp_path / "runs", duration=2)
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    environment |= {"EOMTLIB_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "eomtlib", "fit", *given],
        env=environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.count("eomt, seed 0: ") == 1
    assert ResultStore(tmp_path / "runs").find("training").processes == 2
