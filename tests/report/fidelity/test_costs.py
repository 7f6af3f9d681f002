"""Counted costs beside the printed ones."""

import pytest

from eomtlib.report.fidelity.costs import (
    agrees,
    cost_table,
    deformable_encoder_gmacs,
    printed_costs,
)


@pytest.fixture(scope="module")
def table():
    return cost_table()


def test_every_row_of_ours_is_there():
    rows = printed_costs()
    assert [sum(row.table == t for row in rows) for t in ["1", "2", "3", "4", "6", "D"]] == [
        6, 12, 12, 8, 4, 4,
    ]  # fmt: skip
    assert {row.image_size for row in rows} == {640, 1280}
    assert {row.query_blocks for row in rows} == {None, 9, 6, 4, 2}


def test_parameters_and_gmacs_are_the_papers(table):
    for row in table.to_dict("records"):
        tolerance = 1.5 if row["size"] == "giant" else 1.0
        assert abs(row["params (M)"] - row["params printed"]) <= tolerance, row
        if (row["table"], row["rung"]) != ("1", "no-adapter"):
            accepted = max(0.6, 0.006 * row["GMACs printed"])
            assert abs(row["GMACs"] - row["GMACs printed"]) <= accepted, row
            assert row["agrees"], row


def test_the_row_that_does_not_reconcile_is_stated(table):
    row = table[(table["table"] == "1") & (table["rung"] == "no-adapter")].iloc[0]
    assert row["GMACs"] == pytest.approx(740.25, abs=0.1)
    assert row["GMACs printed"] == 700
    assert table["agrees"].isna().sum() == 1
    # Left out, they would explain it to within the sampling that is counted by formula.
    assert row["GMACs"] - deformable_encoder_gmacs() == pytest.approx(700, abs=5)


def test_a_wrong_count_does_not_agree():
    row = next(row for row in printed_costs() if row.rung == "eomt")
    assert agrees(row, 316.7, 668.0)
    assert not agrees(row, 318.0, 668.0)
    assert not agrees(row, 316.7, 674.0)
    missing = next(row for row in printed_costs() if row.rung == "no-adapter")
    assert agrees(missing, 342.3, 740.0) is None
    assert agrees(missing, 350.0, 740.0) is False
