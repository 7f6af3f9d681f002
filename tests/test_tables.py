from types import SimpleNamespace

import pandas as pd

from eomtlib.study import RungResult
from eomtlib.tables import ablation_table, ladder_table, save_table, style


def result(rung, *, trained=True):
    timing = SimpleNamespace(
        params_m=1.5,
        gmacs=0.25,
        fps_model=100.0,
        fps_end_to_end=80.0,
        mode="eager",
        dtype="float32",
        sampler="triton",
        attention_kernel="flash (CPU)",
    )
    training = SimpleNamespace(steps=10, wall_time_s=90.0, peak_memory_mib=2048.0)
    evaluation = SimpleNamespace(metrics={"pq": 33.3, "pq_things": 20.0, "pq_stuff": 50.0})
    return RungResult(
        rung=rung,
        training=training if trained else None,
        evaluation=evaluation if trained else None,
        timing=timing,
        run_dir=None,
    )


def test_measured_and_printed_stand_apart():
    table = ablation_table([result("eomt"), result("pmt")])
    assert table["measured"]["pq"].tolist() == [33.3, 33.3]
    assert table["paper"].loc["eomt", "pq"] == 56.0
    assert table["paper"].loc["pmt"].isna().all()  # PMT stands in another paper
    assert table["measured"].loc["eomt", "train_minutes"] == 1.5


def test_tables_are_written_in_three_forms_and_empty_cells_stay_empty(tmp_path):
    table = ablation_table([result("eomt", trained=False)])
    paths = save_table(table, tmp_path / "ablation", note="short training")
    assert [p.suffix for p in paths] == [".csv", ".md", ".tex"]
    csv = pd.read_csv(paths[0])
    assert csv["measured PQ"].isna().all()
    assert csv["paper PQ"].tolist() == [56.0]
    markdown = paths[1].read_text()
    assert "| – |" in markdown
    assert markdown.rstrip().endswith("short training")
    assert "toprule" in paths[2].read_text()
    assert "56.0" in style(table).to_html()


def test_the_ladder_is_told_in_full():
    table = ladder_table()
    assert table["rung"].iloc[0] == "vit-adapter-m2f"
    assert table["why"].str.len().min() > 40
