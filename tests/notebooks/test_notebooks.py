"""The notebooks, executed as a user would, and their outputs looked at."""

import json
import re
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import papermill
import pytest

from eomtlib.report.fidelity.released import write_released
from eomtlib.study.records.store import ResultStore
from tests.brief import brief_ipython

REPOSITORY = Path(__file__).parents[2]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def kernels(tmp_path_factory, monkeypatch):
    """Kernels have one cache for the whole session, and time models briefly."""
    base = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("EOMTLIB_CACHE", str(base / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(brief_ipython(base / "ipython")))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_source_notebooks_have_one_cell_of_plain_parameters_and_no_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert papermill.inspect_notebook(path)  # papermill understands them


def test_ablation_fills_its_table_and_draws_its_figures(tmp_path):
    executed = _execute(
        "ablation",
        tmp_path,
        rungs="no-adapter,eomt",
        seeds="0,1",
        duration=4,
        batch_size=2,
        val_images=4,
        device="cpu",
    )
    said = _output(executed, "run", "text/markdown")
    assert "**Does a segmentation model need more than a ViT?**" in said
    assert "PQ says nothing yet (short training: 4 steps" in said
    *_, ending = _outputs(executed, "ending", "text/markdown")
    assert ending.startswith(said)
    assert "**What next?**" in ending
    table = _output(executed, "table", "text/html")
    for heading in ("params (M)", "FPS end to end", "short training", "row above, printed"):
        assert heading in table
    assert "row above, here" not in table  # so short ones are not compared
    assert " ± " in table  # over two seeds
    assert table.count("<th id") + table.count("col_heading") <= 2 * 7
    plan = _output(executed, "plan", "text/markdown")
    assert "4 runs" in plan
    assert "train 2 rungs" in plan
    assert "about" in plan
    steps = _output(executed, "steps", "text/html")
    assert "what the seeds say" in steps
    assert steps.count("<tr>") == 1 + 1
    for name in ("ladder", "pareto", "curves"):
        assert _output(executed, name, "image/png")
        assert next((tmp_path / "results" / "figures").glob(f"*/{name}.svg")).stat().st_size > 5000
    assert "FPS" in _alt(executed, "pareto")
    records = [json.loads(p.read_text()) for p in (tmp_path / "results" / "records").iterdir()]
    # An architecture costs what it costs, whatever the seed.
    kinds = 4 * ["evaluation"] + 2 * ["timing"] + 4 * ["training"]
    assert sorted(r["kind"] for r in records) == kinds
    rows = next((tmp_path / "results" / "tables").glob("*/ablation.md")).read_text().splitlines()
    assert sum(row.startswith("|") for row in rows) == 2 + 2
    assert "56.0" in "".join(rows)  # EoMT's printed PQ, in a column of its own
    assert "short training: 4 steps" in rows[-1]  # what the PQ are worth stands below


@pytest.mark.slow
def test_fidelity_shows_what_agrees_and_what_does_not(tmp_path):
    checkpoint = write_released("eomt-dinov2", tmp_path).checkpoint
    executed = _execute("fidelity", tmp_path, checkpoint=str(checkpoint))
    assert "45 of 46 rows agree" in _output(executed, "costs", "text/markdown")
    assert _output(executed, "costs", "text/html").count("<tr>") == 46 + 1
    assert "740.3 GMACs**, printed 700" in _output(executed, "unreconciled", "text/markdown")
    assert "24 of 24 agree" in _output(executed, "parity", "text/markdown")
    said = _output(executed, "checkpoints", "text/markdown")
    assert "the authors' EoMT" in said
    assert "96×96, 12 queries, 7 classes" in said
    assert "0.8 step" in _output(executed, "windows", "text/markdown")
    assert "88691" in _output(executed, "rates", "text/html")
    assert _output(executed, "rates", "image/png")
    tables = sorted(p.name for p in (tmp_path / "results" / "tables" / "fidelity").glob("*.md"))
    assert tables == [
        "costs.md",
        "learning-rates.md",
        "masking-windows.md",
        "parity.md",
        "recipes.md",
    ]


@pytest.mark.slow
def test_speed_fills_its_table(tmp_path):
    executed = _execute("speed", tmp_path, sizes="nano", rungs="single-scale,eomt", device="cpu")
    table = _output(executed, "table", "text/html")
    for heading in ("without multi-scale features", "EoMT, times as fast", "FPS end to end"):
        assert heading in table
    assert "is the fastest with" in _output(executed, "time", "text/markdown")
    assert "bars" in _alt(executed, "pareto")
    assert (tmp_path / "results" / "tables" / "speed" / "speed.md").is_file()


SMOKE = {"duration": 4, "batch_size": 2, "val_images": 4, "device": "cpu"}


@pytest.mark.slow
def test_pretraining_shows_what_each_pretraining_closes(tmp_path):
    executed = _execute("pretraining", tmp_path, **SMOKE, seeds="0,1", pretraining_steps=2)
    table = _output(executed, "table", "text/html")
    assert table.count(" ± ") >= 9  # three pretrainings of three rungs
    assert "50.4" in _outputs(executed, "table", "text/html")[-1]  # DeiT-III, printed
    assert "row above, printed" not in table  # of other pretrainings
    _check_answer(executed)
    assert _rows(executed, "gap") == 6  # two rungs against the baseline, three times
    assert _rows(executed, "claim") == 4
    assert _rows(executed, "gain") == 6  # each rung, mim and shapes-ssl against none
    figures = tmp_path / "results" / "figures"
    drawn = {p.stem for p in figures.glob("*/*.svg")}
    assert drawn == {"pareto", "reconstructions"}  # of short trainings no accuracy is drawn


@pytest.mark.slow
def test_model_size_draws_both_kinds_of_pareto_plot(tmp_path):
    executed = _execute("model_size", tmp_path, **SMOKE, rungs="vit-adapter-m2f,eomt")
    assert _output(executed, "pareto", "image/png")
    assert _output(executed, "printed", "image/png")
    _check_answer(executed)
    assert _output(executed, "table", "text/html").count("micro") >= 1
    assert len(_outputs(executed, "gap", "text/html")) == 2  # gaps, and what size closes of them


@pytest.mark.slow
def test_mask_annealing_trains_three_ways_and_runs_four(tmp_path):
    executed = _execute("mask_annealing", tmp_path, **SMOKE)
    table = _output(executed, "table", "text/html")
    for printed in ("−28.8", "−3.0", "−0.2", "−0.3"):  # printed against 56.2 and 57.1
        assert printed in table
    assert "times as fast without masks" in _output(executed, "run", "text/markdown")
    _check_answer(executed)
    assert _rows(executed, "change") == 6  # two models, three ways against the fourth
    assert _output(executed, "annealing", "image/png")
    assert _output(executed, "attention", "image/png")
    records = [json.loads(p.read_text()) for p in (tmp_path / "results" / "records").iterdir()]
    assert [r["kind"] for r in records].count("training") == 6  # masked ones are run twice
    assert [r["kind"] for r in records].count("evaluation") == 8


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_stopped_anywhere_and_run_again_it_repeats_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    cells = _code("ablation", rungs="single-scale,eomt", results_dir=str(tmp_path), **SMOKE)
    written, write = [], ResultStore.write

    def write_and_stop(store, record):
        write(store, record)
        written.append((record.kind, record.rung))
        raise KeyboardInterrupt

    monkeypatch.setattr(ResultStore, "write", write_and_stop)
    for _ in range(6):  # after every record
        with pytest.raises(KeyboardInterrupt):
            _run(cells)
    for count in range(1, len(cells) + 1):  # after every cell
        _run(cells[:count])
    kinds = ("training", "evaluation", "timing")
    assert sorted(written) == sorted(product(kinds, ("single-scale", "eomt")))


@pytest.mark.slow
def test_query_blocks_and_a_notebook_run_again_reuse_what_is_finished(tmp_path):
    options = {**SMOKE, "query_blocks": "1,3"}
    executed = _execute("query_blocks", tmp_path, **options)
    assert _rows(executed, "change") == 1
    assert len(_outputs(executed, "lines", "image/png")) == 1  # speed: accuracy says nothing
    _check_answer(executed)
    records = sorted((tmp_path / "results" / "records").iterdir())
    times = [path.stat().st_mtime_ns for path in records]
    again = _execute("query_blocks", tmp_path, **options)
    assert sorted((tmp_path / "results" / "records").iterdir()) == records
    assert [path.stat().st_mtime_ns for path in records] == times
    said = "".join(out.get("text", "") for out in _cell(again, "run").outputs)
    assert said.splitlines() == ["Found of 2 runs: 2 trainings, 2 evaluations, 2 timings."]


@pytest.mark.slow
def test_frozen_encoder_changes_one_thing_at_a_time_and_shares_an_encoder(tmp_path):
    options = {**SMOKE, "pretraining_steps": 2, "rungs": "eomt,vit-adapter-m2f"}
    executed = _execute("frozen_encoder", tmp_path, **options)
    table = _output(executed, "table", "text/html")
    for model in ("PMT, encoder trained", "PMT without lateral connections", "taps 2, 3, 4, 5"):
        assert model in table
    assert _rows(executed, "change") == 4
    assert "decoders on one frozen encoder" in _output(executed, "run", "text/markdown")
    _check_answer(executed)
    assert _rows(executed, "shared") == 4
    by_rung = _output(executed, "frozen", "text/html")
    assert "memory (GiB), encoder frozen" in by_rung
    assert _rows(executed, "frozen") == 3  # PMT always


@pytest.mark.slow
def test_any_plain_vit_of_timm_can_be_asked_about(tmp_path):
    name = "timm:test_vit2.r160_in1k"
    given = {**SMOKE, "image_size": 64, "weights": "random"}
    executed = _execute("pretraining", tmp_path, **given, pretrainings=f"none,{name}", rungs="eomt")
    assert name in _output(executed, "table", "text/html")
    assert _output(executed, "pareto", "image/png")
    assert _rows(executed, "gain") == 1
    executed = _execute("frozen_encoder", tmp_path, **given, pretraining=name, rungs="eomt")
    assert "taps 4, 5, 6, 7" in _output(executed, "table", "text/html")  # of its eight blocks
    executed = _execute("query_blocks", tmp_path, **given, pretraining=name, query_blocks="2,3")
    assert _output(executed, "table", "text/html")


@pytest.mark.slow
def test_a_question_of_ones_own_is_answered(tmp_path):
    options = {**SMOKE, "vary": "query_blocks=2,3; lr=1e-3,2e-3", "seeds": "0,1"}
    executed = _execute("own_question", tmp_path, **options, validate_every="50%", validate_on=2)
    said = _output(executed, "run", "text/markdown")
    assert "What are the values of query_blocks and lr worth?" in said.replace("\\", "")
    assert "2 seeds" in said or "gains" in said or "loses" in said
    assert "All this is of short training" in said
    _check_answer(executed)
    assert _rows(executed, "table") == 4
    assert len(_outputs(executed, "changes", "text/html")) == 2
    for tag in ("table", "pareto", "curves"):
        assert _output(executed, tag, "image/png")


@pytest.mark.slow
def test_paper_tables_show_every_table(tmp_path):
    executed = _execute("paper_tables", tmp_path)
    assert len(_outputs(executed, "tables", "text/html")) == 15
    first = _output(executed, "tables", "text/html")
    assert "316 / 317" in first  # printed / counted here
    assert "accuracy: none of" in _output(executed, "read", "text/markdown").lower()
    _check_answer(executed, "read")
    assert "nano" in _output(executed, "small", "text/html")  # the committed records
    written = sorted(p.stem for p in (tmp_path / "results" / "tables" / "paper").glob("*.tex"))
    assert len(written) == 15 + 1


def _execute(name, tmp_path, **parameters):
    return papermill.execute_notebook(
        REPOSITORY / "notebooks" / f"{name}.ipynb",
        tmp_path / "out.ipynb",
        parameters={**parameters, "results_dir": str(tmp_path / "results")},
        kernel_name="python3",
        cwd=REPOSITORY,
        progress_bar=False,
        start_timeout=300,
    )


def _code(name, **parameters):
    """The sources of a notebook's code cells, with parameters as papermill would put them in."""
    cells = []
    path = next(path for path in NOTEBOOKS if path.stem == name)
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            cells.append(cell.source)
            if "parameters" in cell.metadata.get("tags", []):
                cells.append("\n".join(f"{key} = {value!r}" for key, value in parameters.items()))
    return cells


def _run(cells):
    names = {}
    for source in cells:
        exec(compile(source, "cell", "exec"), names)
    plt.close("all")


def _cell(notebook, cell_id):
    return next(cell for cell in notebook.cells if cell.id == cell_id)


def _outputs(notebook, cell_id, kind):
    outputs = _cell(notebook, cell_id).outputs
    found = [out["data"][kind] for out in outputs if kind in out.get("data", {})]
    assert found, f"cell {cell_id} shows no {kind}"
    return found


def _output(notebook, cell_id, kind):
    return _outputs(notebook, cell_id, kind)[0]


def _check_answer(notebook, cell_id="run"):
    """The question and its answer stand behind the run, and once more at the end."""
    said = next(text for text in _outputs(notebook, cell_id, "text/markdown") if "?**" in text)
    assert "\n- " in said
    assert not re.search(r"\bnan\b", said)
    assert _output(notebook, "ending", "text/markdown").startswith(said)


def _alt(notebook, cell_id):
    """What the figures of a cell say to whoever cannot see them."""
    outputs = [
        out for out in _cell(notebook, cell_id).outputs if "image/png" in out.get("data", {})
    ]
    return " ".join(out["metadata"]["image/png"]["alt"] for out in outputs)


def _rows(notebook, cell_id):
    """Rows of the first table that a cell shows, without its heading."""
    return _output(notebook, cell_id, "text/html").count("<tr>") - 1


@pytest.mark.slow
def test_explore_trains_what_it_needs_and_then_looks_at_any_checkpoint(tmp_path):
    executed = _execute("explore", tmp_path, duration=4, num_images=2, threshold=0.1, device="cpu")
    assert "train 2 rungs" in _output(executed, "models", "text/markdown")
    assert _output(executed, "explorer", "application/vnd.jupyter.widget-view+json")
    for cell in ("rungs", "queries", "layers", "query"):
        assert _output(executed, cell, "image/png")
    figures = tmp_path / "results" / "figures" / "explore"
    written = sorted(path.stem for path in figures.glob("*.png"))
    assert written == ["layers", "models", "queries", "query"]
    executed = _execute("explore", tmp_path, train=False, num_images=1, device="cpu")  # found again
    assert "short training" in _output(executed, "models", "text/markdown")
    checkpoint = next((tmp_path / "results").rglob("eomt-nano-*/model"))
    executed = _execute(
        "explore",
        tmp_path,
        checkpoints=str(checkpoint),
        images=str(figures / "query.png"),
        num_images=1,
        device="cpu",
    )
    said = _output(executed, "models", "text/markdown")
    assert said.split("\n") == ["All models: nano, pretraining shapes-ssl.", "", "- EoMT"]
    assert _output(executed, "rungs", "image/png")
