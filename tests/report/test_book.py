"""The study's order and its page, with notebooks that take no time."""

import json
from pathlib import Path

import nbformat
import pytest

from eomtlib.commands import main
from eomtlib.commands.verbs.book import literal
from eomtlib.report import book as full_study
from eomtlib.report.book import CHAPTERS, Chapter, collect, run_study, write_index

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOURCE = """from pathlib import Path

folder = Path(results_dir)
names = {"figures": ("changes.png", "a.png", "a.svg"), "tables": ("t.md",)}
for kind, name in ((kind, name) for kind in names for name in names[kind]):
    path = folder / kind / f"own-{size}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{size} {seeds} {duration}".strip())
(folder / "records").mkdir(exist_ok=True)
(folder / "records" / "training-1.json").write_text("{}")
(folder / "runs").mkdir(exist_ok=True)
(folder / "runs" / "weights").write_text("heavy")
if size == "wrong":
    raise ValueError("no such size")
"""
ANSWER = """from IPython.display import Markdown, display

answer = Markdown(f"**Does it \\\\*run\\\\*?**\\n\\n- At {size} it does.")
display(answer)"""


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    parameters = nbformat.v4.new_code_cell(
        'size = "nano"\nseeds = "0"\nresults_dir = ""\nduration = ""'
    )
    parameters.metadata["tags"] = ["parameters"]
    title = nbformat.v4.new_markdown_cell("# Does it *run*?\n\nIn principle.\n\nElse not.")
    answer = nbformat.v4.new_code_cell(ANSWER)
    notebook = nbformat.v4.new_notebook(
        cells=[title, parameters, nbformat.v4.new_code_cell(SOURCE), answer]
    )
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook.metadata["kernelspec"] = kernel
    folder = tmp_path / "notebooks"
    folder.mkdir()
    nbformat.write(notebook, folder / "first.ipynb")
    second = Chapter("first", name="second", gallery={"size": "nano"}, question="Once more?")
    chapters = (Chapter("first", {"size": "micro"}, gallery={"seeds": "0,1,2"}), second)
    monkeypatch.setattr(full_study, "CHAPTERS", chapters)
    return folder


def test_every_notebook_of_the_study_is_there_and_knows_its_parameters():
    import papermill

    for chapter in CHAPTERS:
        known = papermill.inspect_notebook(str(NOTEBOOKS / f"{chapter.notebook}.ipynb"))
        assert {"results_dir", *chapter.cpu, *chapter.cuda, *chapter.gallery} <= set(known)
        assert ("seeds" in known) == chapter.takes_seeds


def test_notebooks_run_with_their_parameters_and_a_page_shows_them(notebooks, tmp_path):
    results = tmp_path / "results"  # beside the notebooks, as in a repository
    page = run_study(notebooks, results_dir=results, device="cpu", seeds="0,1", say=lambda _: None)
    assert (results / "figures" / "own-micro" / "a.png").read_text() == "micro 0,1"
    assert page.read_text().partition("kept. -->\n\n")[2].splitlines() == [
        r"## Does it \*run\*?",
        "",
        "- At micro it does.",
        "",
        r"![Does it \*run\*?](figures/own-micro/changes.png)",
        "",
        "<sub>[notebook](notebooks/first.ipynb) · tables: [t](tables/own-micro/t.md) · figures: "
        "[a](figures/own-micro/a.png) · own-micro</sub>",
    ]


def test_a_gallery_does_not_say_where_its_results_lay(tmp_path):
    results = tmp_path / "scratch"
    cell = nbformat.v4.new_code_cell(f'results_dir = "{results}"')
    (results / "notebooks").mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), results / "notebooks" / "a.ipynb")
    collect(results, tmp_path / "gallery")
    (copied,) = nbformat.read(tmp_path / "gallery/study/notebooks/a.ipynb", 4).cells
    assert copied.source == 'results_dir = "results/runs"'


def test_the_gallery_has_its_own_questions_seeds_and_duration(notebooks, tmp_path):
    results, target = tmp_path / "results", tmp_path / "gallery"
    options = ["--notebooks", str(notebooks), "--results-dir", str(results), "--device", "cpu"]
    for seeds, expected in (([], "0,1,2"), (["--seeds", "5"], "5")):
        assert main(["book", *options, "--gallery", str(target), *seeds]) == 0
        study = target / "study"
        assert (
            study / "figures" / "own-micro" / "a.png"
        ).read_text() == f"micro {expected} 1200steps"
    page = target / "README.md"
    text = page.read_text()
    assert text.index("## Does it") < text.index("At micro") < text.index("## Once more?")
    assert "study/figures/own-micro/changes.png" in text.partition("## Once more?")[0]
    assert "study/figures/own-nano/changes.png" in text.partition("## Once more?")[2]
    assert str(tmp_path) not in (study / "notebooks" / "first.ipynb").read_text()
    copied = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
    of_each = ("figures/own-{}/a.png", "figures/own-{}/changes.png", "tables/own-{}/t.md")
    assert copied == {
        "README.md",
        "study/notebooks/first.ipynb",
        "study/notebooks/second.ipynb",
        "study/records/training-1.json",
        *(f"study/{name.format(size)}" for name in of_each for size in ("micro", "nano")),
    }

    page.write_text(text.replace("# What was measured", "# Ours\n\nBy hand."))
    assert "By hand." in write_index(target).read_text()
    own = tmp_path / "own"
    own.mkdir()
    (own / "README.md").write_text("All of it by hand.")
    assert write_index(own).read_text().startswith("All of it by hand.")


def test_without_an_answer_a_page_says_what_the_question_is(notebooks, tmp_path):
    out = tmp_path / "any" / "notebooks"
    out.mkdir(parents=True)
    (out / "first.ipynb").write_text((notebooks / "first.ipynb").read_text())  # not executed
    text = write_index(tmp_path / "any").read_text()
    assert "## Does it \\*run\\*?\n\nIn principle.\n\n<sub>[notebook]" in text
    assert "Else" not in text


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
