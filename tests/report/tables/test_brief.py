"""What stands on a page: few columns, and printed figures only as differences."""

import pandas as pd

from eomtlib.report.papers.printed import load_paper_table
from eomtlib.report.tables import brief, brief_changes, caption, change_table, measured_table

PQS = {"vit-adapter-m2f": 60.0, "no-adapter": 55.5, "no-pixel-decoder": 55.0, "pmt": 40.0}


def frame(seeds=1, **changed):
    rows = [
        {
            "rung": rung,
            "seed": seed,
            "params_m": 2.5,
            "fps": 100.0,
            "fps_end_to_end": 80.0,
            "pq": pq,
        }
        | {"pq_things": pq - 1, "pq_stuff": pq + 1, "steps": 1600, "mode": "eager, float32"}
        for rung, pq in PQS.items()
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows).assign(**changed)


def test_measured_and_printed_stand_beside_each_other_as_losses_against_the_rung_above():
    printed = load_paper_table("eomt_table1_ladder")
    table = brief(measured_table(frame()), printed).set_index("rung")
    assert len(table.columns) + 1 <= 7
    assert table.index[0] == "ViT-Adapter + Mask2Former"
    assert table["PQ (things / stuff)"].iloc[0] == "60.0 (59.0 / 61.0)"
    assert table["PQ against the row above, here"].tolist() == ["–", "−4.5", "−0.5", "−15.0"]
    # 57.1, 56.7, 56.9 of 100; PMT is not printed there.
    assert table["PQ against the row above, printed"].tolist() == ["–", "−0.4", "+0.2", "–"]


def test_what_no_paper_prints_and_what_nobody_measured_has_no_column():
    other = load_paper_table("eomt_table1_ladder").replace(
        {"rung": {rung: rung * 2 for rung in PQS}}
    )
    table = brief(measured_table(frame(fps_end_to_end=float("nan"))), other)
    assert not any("printed" in name or "end to end" in name for name in table)


def test_short_trainings_are_called_so_and_not_compared():
    table = brief(measured_table(frame()), short=True)
    assert "PQ (things / stuff), short training" in table
    assert not any("against" in name for name in table)


def test_rows_of_one_group_are_compared_with_each_other():
    both = pd.concat([frame().assign(size=size) for size in ("nano", "micro")])
    table = brief(measured_table(both, ["size", "rung"]), against="first")
    gains = table["PQ against the first, here"].tolist()
    assert gains == 2 * ["–", "−4.5", "−5.0", "−20.0"]


def test_what_all_rows_share_is_in_the_caption():
    assert caption(measured_table(frame(seeds=2))) == "1600 steps, 2 seeds, eager, float32"


def test_of_one_seed_there_is_no_column_of_intervals():
    steps = {"no-adapter": "vit-adapter-m2f"}
    alone = brief_changes(change_table(frame(), axis="rung", base=steps))
    assert not any("95 %" in name for name in alone)
    several = brief_changes(change_table(frame(seeds=2), axis="rung", base=steps))
    assert several["95 % of all rows"].tolist() == ["−4.5 to −4.5"]
    assert len(several.columns) <= 7
