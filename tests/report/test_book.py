"""The study's order and its page, with notebooks that take no time."""

import json
from pathlib import Path

import nbformat
import pytest

from eomtlib.commands import main
from eomtlib.commands.book import literal
from eomtlib.report import book as full_study
from eomtlib.report.book import CHAPTERS, Chapter, collect, run_study, write_index

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOURCE = """from pathlib import Path

folder = Path(results_dir)
for kind, name in (("figures", "a.png"), ("figures", "a.svg"), ("tables", "t.md")):
    path = folder / kind / f"own-{size}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{size} {seeds}")
(folder / "records").mkdir(exist_ok=True)
(folder / "records" / "training-1.json").write_text("{}")
(folder / "runs").mkdir(exist_ok=True)
(folder / "runs" / "weights").write_text("heavy")
if size == "wrong":
    raise ValueError("no such size")
"""


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    parameters = nbformat.v4.new_code_cell('size = "nano"\nseeds = "0"\nresults_dir = ""')
    parameters.metadata["tags"] = ["parameters"]
    title = nbformat.v4.new_markdown_cell("# Does it run?\n\nYes.")
    notebook = nbformat.v4.new_notebook(
        cells=[title, parameters, nbformat.v4.new_code_cell(SOURCE)]
    )
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook.metadata["kernelspec"] = kernel
    folder = tmp_path / "notebooks"
    folder.mkdir()
    nbformat.write(notebook, folder / "first.ipynb")
    monkeypatch.setattr(full_study, "CHAPTERS", (Chapter("first", {"size": "micro"}),))
    return folder


def test_every_notebook_of_the_study_is_there_and_knows_its_parameters():
    import papermill

    for chapter in CHAPTERS:
        known = papermill.inspect_notebook(str(NOTEBOOKS / f"{chapter.notebook}.ipynb"))
        assert {"results_dir", *chapter.cpu, *chapter.cuda} <= set(known)
        assert ("seeds" in known) == chapter.takes_seeds


def test_notebooks_run_with_their_parameters_and_a_page_shows_them(notebooks, tmp_path):
    results = tmp_path / "results"  # beside the notebooks, as in a repository
    page = run_study(notebooks, results_dir=results, device="cpu", seeds="0,1", say=lambda _: None)
    assert (results / "figures" / "own-micro" / "a.png").read_text() == "micro 0,1"
    text = page.read_text()
    assert "[Does it run?](notebooks/first.ipynb)" in text
    assert "![a](figures/own-micro/a.png)" in text
    assert "[t](tables/own-micro/t.md)" in text

    target = tmp_path / "gallery"
    shown = collect(results, target)
    shown.write_text(shown.read_text().replace("# What was measured", "# Ours\n\nBy hand."))
    assert "By hand." in write_index(target).read_text()
    own = tmp_path / "own"
    own.mkdir()
    (own / "README.md").write_text("All of it by hand.")
    assert write_index(own).read_text().startswith("All of it by hand.")
    copied = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
    assert str(tmp_path) not in (target / "notebooks" / "first.ipynb").read_text()
    assert copied == {
        "README.md",
        "notebooks/first.ipynb",
        "figures/own-micro/a.png",
        "tables/own-micro/t.md",
        "records/training-1.json",
    }


def test_what_goes_wrong_is_said(notebooks, tmp_path, capsys):
    options = ["--notebooks", str(notebooks), "--results-dir", str(tmp_path / "results")]
    assert main(["book", *options, "--device", "cpu", "--only", "second"]) == 2
    assert "'second' is no notebook of the study; choose from first" in capsys.readouterr().err
    assert main(["book", *options, "--device", "cpu", "-p", "size", "wrong"]) == 2
    assert "ValueError: no such size" in capsys.readouterr().err
    executed = json.loads((tmp_path / "results" / "notebooks" / "first.ipynb").read_text())
    assert executed["cells"]
    assert literal("False") is False
    assert [literal(text) for text in ("4", "0.5", "0,1", "eomt")] == [4, 0.5, "0,1", "eomt"]
    missing = ["--notebooks", str(tmp_path), "--device", "cpu"]
    assert main(["book", *missing]) == 2
    assert "first.ipynb does not exist" in capsys.readouterr().err
