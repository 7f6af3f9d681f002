"""A look at a study whose runs have not ended, and the study after it."""

import json
from pathlib import Path

import pytest
import torch

from eomtlib.commands import main
from eomtlib.commands.verbs import look
from eomtlib.core.console import Manner, speaking
from eomtlib.core.errors import ConfigurationError
from eomtlib.report.pages import recorded_studies
from eomtlib.study.listing import list_runs
from eomtlib.study.points import grid
from eomtlib.study.study import Study
from eomtlib.training.loop.fit import trained_steps
from tests.samples import SMOKE, weights_digest

RUNGS = ("no-pixel-decoder", "eomt")
NOTEBOOK = Path(__file__).parents[3] / "notebooks" / "ablation.ipynb"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch, brief):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.slow
def test_its_runs_are_those_of_the_ablation_notebook(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(look, "time_rungs", lambda study, rungs: seen.append(study) or {})
    monkeypatch.setattr(Study, "begin", lambda *_, **__: torch.get_num_threads())
    assert main(["look", "--results-dir", str(tmp_path)]) == 2  # nothing was trained
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    (cell,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    given = {}
    exec("".join(cell["source"]), given)
    given = {name: value for name, value in given.items() if name[0] != "_"}
    points = grid(seed=given.pop("seeds"), rung=given.pop("rungs"))
    study = Study(points, **given | {"results_dir": tmp_path})
    assert [run.folder for run in seen[0].runs] == [run.folder for run in study.runs]
    assert seen[0].name == study.name


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_study_after_a_look_comes_to_the_digits_of_the_study_alone(tmp_path, capsys):
    def study(name):
        options = SMOKE | {"duration": "240steps", "progress": False, "jobs": 2}
        return Study(rungs=RUNGS, results_dir=tmp_path / name, **options)

    looked = study("looked")
    folders = [run.folder for run in looked.runs]
    timings = look.time_rungs(looked, RUNGS)
    looked.begin(RUNGS, is_over=lambda: all(trained_steps(folder) > 10 for folder in folders))
    with speaking(Manner(as_json=True), as_who="look"):
        look.write_look(looked, look.standing(looked, timings))
    said = json.loads(capsys.readouterr().out)
    steps = [run["unfinished"] for run in said["runs"]]
    assert all(0 < int(text.split()[1]) < 240 and text.endswith(" of 240") for text in steps)
    page = (tmp_path / "looked" / "look.html").read_text()
    assert all(text in page for text in steps)
    assert all(Path(path).is_file() for path in said["written"])
    # Nothing is taken for a finished run.
    assert not looked.store.records()
    assert set(list_runs(looked.store)["state"]) == {"interrupted"}
    with pytest.raises(ConfigurationError, match="no records of a model"):
        recorded_studies(looked.store)

    ours, theirs = study("looked").learn(), study("alone").learn()
    assert [r.training.interrupted_resumes for r in ours] == [1, 1]
    for our, their in zip(ours, theirs, strict=True):
        assert our.evaluation.metrics == their.evaluation.metrics
        assert weights_digest(our.folder) == weights_digest(their.folder)


@pytest.mark.parametrize("bad", ["0", "-1", "nan"])
def test_minutes_that_are_none_are_said(bad, tmp_path, capsys):
    assert main(["look", f"--minutes={bad}", "--results-dir", str(tmp_path)]) == 2
    assert "minutes=" in capsys.readouterr().err
