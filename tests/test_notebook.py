"""The notebooks, executed as a user would, and their outputs looked at."""

import json
from pathlib import Path

import nbformat
import papermill
import pytest

from eomtlib.fidelity.released import write_released

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_source_notebooks_have_one_cell_of_plain_parameters_and_no_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert papermill.inspect_notebook(path)  # papermill understands them


def test_ablation_fills_its_table_and_draws_its_figures(tmp_path, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    executed = _execute(
        "ablation",
        tmp_path,
        rungs="no-adapter,eomt,pmt",
        duration=4,
        batch_size=2,
        val_images=4,
        device="cpu",
    )
    table = _output(executed, "table", "text/html")
    for rung in ("no-adapter", "eomt", "pmt"):
        assert rung in table
    for heading in ("measured", "paper", "GMACs", "FPS", "PQ"):
        assert heading in table
    assert "56.0" in table  # EoMT's printed PQ, in a column of its own
    plan = _output(executed, "plan", "text/markdown")
    assert "train each of 3 rungs" in plan
    assert "about" in plan
    for name in ("ladder", "pareto", "segmentations", "curves"):
        assert _output(executed, name if name != "segmentations" else "images", "image/png")
        assert next((tmp_path / "results" / "figures").glob(f"*/{name}.svg")).stat().st_size > 5000
    records = [json.loads(p.read_text()) for p in (tmp_path / "results" / "records").iterdir()]
    assert sorted(r["kind"] for r in records) == 3 * ["evaluation"] + 3 * ["timing"] + 3 * [
        "training"
    ]
    rows = next((tmp_path / "results" / "tables").glob("*/ablation.md")).read_text().splitlines()
    assert sum(row.startswith("|") for row in rows) == 2 + 3
    assert rows[-1].startswith("short training: 4steps")  # what the PQ are worth stands below


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
    for heading in ("single-scale", "eomt", "FPS end to end", "FPS printed (H100)"):
        assert heading in table
    assert "no PQ to plot" in _output(executed, "pareto", "text/markdown")
    assert (tmp_path / "results" / "tables" / "speed" / "speed.md").is_file()


def _execute(name, tmp_path, **parameters):
    repository = Path(__file__).parent.parent
    return papermill.execute_notebook(
        repository / "notebooks" / f"{name}.ipynb",
        tmp_path / "out.ipynb",
        parameters={**parameters, "results_dir": str(tmp_path / "results")},
        kernel_name="python3",
        cwd=repository,
        progress_bar=False,
    )


def _output(notebook, cell_id, kind):
    cell = next(cell for cell in notebook.cells if cell.id == cell_id)
    found = [out["data"][kind] for out in cell.outputs if kind in out.get("data", {})]
    assert found, f"cell {cell_id} shows no {kind}"
    return found[0]
