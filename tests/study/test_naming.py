"""Checkpoints by the names of runs."""

import pytest

from eomtlib.commands import main
from eomtlib.core.errors import ConfigurationError
from eomtlib.study.naming import find_checkpoint, run_of
from eomtlib.study.records.store import ResultStore
from tests.samples import training

NAMES = ("eomt-nano-seed0-1a", "eomt-nano-seed1-2b", "pmt-nano-v2.5-seed0-3c")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A results folder in which the last run of ``NAMES`` is the oldest; one has no weights."""
    folder = tmp_path / "runs"
    store = ResultStore(folder)
    for age, name in enumerate((*NAMES, "gone-nano-seed0-4d")):
        when = f"2026-01-{20 - age:02}T00:00:00+00:00"
        store.write(training(id=f"training-{age}", checkpoint=f"{name}/model", created=when))
        (folder / name / "model").mkdir(parents=True)
        if age < 3:
            (folder / name / "model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize(
    ("name", "found"),
    [(NAMES[0], 0), ("eomt-nano-seed1", 1), ("p", 2), ("pmt-nano-v2.5", 2)],
)
def test_a_name_or_the_only_run_that_begins_so_is_found(name, found, results):
    assert find_checkpoint(name, results) == results / NAMES[found]


def test_a_results_folder_stands_for_its_newest_finished_run(results, tmp_path):
    assert find_checkpoint(str(results)) == results / NAMES[0]
    (results / NAMES[0] / "model" / "config.json").unlink()
    assert find_checkpoint("runs", "elsewhere").resolve() == results / NAMES[1]
    (tmp_path / "empty" / "records").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="results folder without a finished run"):
        find_checkpoint(str(tmp_path / "empty"))


def test_what_exists_is_no_name(results, tmp_path):
    (tmp_path / "eomt-nano-seed1").mkdir()
    assert find_checkpoint("eomt-nano-seed1", results).resolve() == tmp_path / "eomt-nano-seed1"
    assert str(find_checkpoint("no/such/file.bin", results)) == "no/such/file.bin"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("eomt", r"2 runs are called so: eomt-nano-seed1-2b, eomt-nano-seed0-1a\. Write more"),
        (
            "emt-nano-s",
            r"no run is called so\. Did you mean eomt-nano-seed1-2b, eomt-nano-seed0-1a, ",
        ),
        ("zzz", r"in .*runs \(results_dir\) no run is called so\. `eomtlib runs` lists"),
    ],
)
def test_what_is_ambiguous_or_unknown_is_said_with_the_nearest(name, said, results):
    with pytest.raises(ConfigurationError, match=said):
        find_checkpoint(name, results)


@pytest.mark.parametrize(
    "verb",
    [
        ["evaluate"],
        ["export", "--output", "model.pt2"],
        ["predict", "--images", "photo.png", "--output", "out"],
    ],
)
def test_verbs_say_it(verb, results, capsys):
    (results.parent / "photo.png").touch()
    given = ["--checkpoint", "eomt", "--results-dir", str(results)]
    assert main([verb[0], *given, *verb[1:]]) == 2
    assert "2 runs are called so" in capsys.readouterr().err


def test_the_run_of_a_checkpoint_is_found_by_its_folder_or_its_model(results, tmp_path):
    for path in (results / NAMES[1], results / NAMES[1] / "model"):
        store, record = run_of(path)
        assert (store.root, record.id) == (results, "training-1")
    link = tmp_path / "link"
    link.symlink_to(results / NAMES[2])
    assert run_of(link)[1].id == "training-2"
    (tmp_path / "model.bin").touch()
    assert run_of(tmp_path / "model.bin") is None
