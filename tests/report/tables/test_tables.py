import pandas as pd
import pytest

from eomtlib.report.tables import (
    ablation_table,
    change_table,
    closing_table,
    ladder_table,
    save_table,
    seeds_note,
    style,
)


def run(rung, seed=0, pq=33.3):
    return {
        "rung": rung,
        "seed": seed,
        "params_m": 1.5,
        "gmacs": 0.25,
        "fps": 100.0,
        "fps_end_to_end": 80.0,
        "pq": pq,
        "steps": 10,
        "train_minutes": 1.5,
        "mode": "eager, float32, triton sampler",
        "attention": "flash (CPU)",
    }


def test_measured_and_printed_stand_apart():
    table = ablation_table(pd.DataFrame([run("eomt"), run("pmt")]))
    assert table["measured"]["pq"].tolist() == [33.3, 33.3]
    assert table["paper"].loc["eomt", "pq"] == 56.0
    assert table["paper"].loc["pmt"].isna().all()  # PMT stands in another paper


def test_tables_are_written_in_three_forms_and_empty_cells_stay_empty(tmp_path):
    table = ablation_table(pd.DataFrame([run("eomt", pq=float("nan"))]))
    paths = save_table(table, tmp_path / "ablation", note="short training")
    assert [p.suffix for p in paths] == [".csv", ".md", ".tex"]
    csv = pd.read_csv(paths[0])
    assert csv["measured PQ"].isna().all()
    assert csv["paper PQ"].tolist() == [56.0]
    markdown = paths[1].read_text()
    assert "| – |" in markdown
    assert markdown.rstrip().endswith("short training")
    latex = paths[2].read_text()
    assert "toprule" in latex
    assert "col_heading" not in latex  # CSS, which does not compile
    assert "56.0" in style(table).to_html()


def test_seeds_stand_behind_their_mean_as_a_spread(tmp_path):
    runs = [run("eomt", seed, pq) for seed, pq in enumerate((40.0, 42.0, 44.0))]
    table = ablation_table(pd.DataFrame(runs))
    assert "42.0 ± 2.0" in style(table).to_html()
    assert "42.0 ± 2.0" in save_table(table, tmp_path / "t")[1].read_text()
    csv = pd.read_csv(tmp_path / "t.csv")
    assert csv[["measured PQ", "measured PQ, std", "measured seeds"]].iloc[0].tolist() == [42, 2, 3]


def test_a_change_is_stated_only_where_the_seeds_settle_it():
    pqs = {"eomt-masked": (50.0, 51.0, 52.0), "eomt": (48.0, 49.1, 49.9), "pmt": (44, 55, 46)}
    frame = pd.DataFrame(
        [run(r, s, pq) for r, values in pqs.items() for s, pq in enumerate(values)]
    )
    base = {"eomt": "eomt-masked", "pmt": "eomt"}
    said = change_table(frame, axis="rung", base=base).set_index("rung")["what the seeds say"]
    assert said.to_dict() == {"eomt": "worse", "pmt": "not settled"}
    alone = change_table(frame[frame["seed"] == 0], axis="rung", base=base)
    assert set(alone["what the seeds say"]) == {"one seed cannot say"}
    assert "no difference here is settled" in seeds_note(alone)
    note = seeds_note(change_table(frame, axis="rung", base=base))
    assert "2 rows" in note
    assert "not the choice of validation images" in note


def test_a_diverged_seed_is_named_and_an_untrained_study_has_no_changes():
    pqs = {"eomt-masked": (50.0, 51.0, 52.0), "eomt": (60.0, 61.1, float("nan"))}
    frame = pd.DataFrame(
        [run(r, s, pq) for r, values in pqs.items() for s, pq in enumerate(values)]
    )
    (said,) = change_table(frame, axis="rung", base="eomt-masked")["what the seeds say"]
    assert said == "not settled: no value of seed 2"
    assert ablation_table(frame)["measured"]["without"].to_dict() == {
        "eomt-masked": "",
        "eomt": "2",
    }
    untrained = change_table(frame.assign(pq=float("nan")), axis="rung", base="eomt-masked")
    assert untrained.empty
    assert seeds_note(untrained) == ""


def test_a_gap_that_pretraining_closes_is_counted_positive():
    runs = []
    for seed, noise in enumerate((0.0, 0.1, -0.1)):
        pqs = {"none": (60, 45 + noise), "mim": (62, 55 + noise / 2)}
        for pretraining, (base, own) in pqs.items():
            runs.append(run("vit-adapter-m2f", seed, base) | {"pretraining": pretraining})
            runs.append(run("eomt", seed, own) | {"pretraining": pretraining})
    found = closing_table(
        pd.DataFrame(runs),
        axis="rung",
        base="vit-adapter-m2f",
        between="pretraining",
        against="none",
    )
    assert found["rung"].tolist() == ["eomt"]
    assert found["PQ"].tolist() == pytest.approx([8.0])  # from 15 points to 7
    assert found["what the seeds say"].tolist() == ["gained"]


def test_the_ladder_is_told_in_full():
    table = ladder_table()
    assert table["rung"].iloc[0] == "vit-adapter-m2f"
    assert table["why"].str.len().min() > 40
