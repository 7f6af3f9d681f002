import pandas as pd

from eomtlib.report.tables import plan_grid
from eomtlib.study.planning import Plan

ALL = "training, evaluation, timing"


def plan(*rows):
    names = ["rung", "seed", "pretraining", "query_blocks", "finished", "seconds"]
    table = pd.DataFrame(rows, columns=names).assign(steps=10, about="–")
    return Plan("", table.dropna(axis=1, how="all"), 0.0)


def test_seeds_share_a_cell_and_settings_have_columns():
    rows = [
        (rung, seed, before, None, ALL if rung == "eomt" and before == "none" else "–", 60.0)
        for before in ("none", "mim")
        for rung in ("eomt", "pmt")
        for seed in (0, 1)
    ]
    grid = plan_grid(plan(*rows)).set_index("model")
    assert list(grid.columns) == ["pretraining none", "pretraining mim"]
    assert grid.loc["EoMT"].tolist() == ["done", "train, evaluate, time 2 seeds: 2 min"]
    assert list(grid.index) == ["EoMT", "PMT"]


def test_what_some_models_alone_state_belongs_to_the_model():
    found = plan_grid(
        plan(("eomt", 0, "none", None, ALL, 0.0), ("eomt", 0, "none", 2.0, "training", 30.0))
    )
    assert found["model"].tolist() == ["EoMT", "EoMT, query blocks 2"]
    assert found.iloc[:, 1].tolist() == ["done", "evaluate, time: 30 s"]
