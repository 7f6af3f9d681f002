"""Counted costs beside the printed ones."""

import pytest

from eomtlib.report.fidelity.costs import (
    agrees,
    cost_table,
    deformable_encoder_gmacs,
)


@pytest.fixture(scope="module")
def table():
    return cost_table()


def test_every_row_of_ours_is_there(table):
    assert table["table"].value_counts(sort=False).to_dict() == {
        "1": 6, "2": 12, "3": 12, "4": 8, "6": 4, "D": 4,
    }  # fmt: skip
    assert set(table["image size"]) == {640, 1280}
    assert set(table["query blocks"].dropna()) == {9, 6, 4, 2}


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


@pytest.mark.parametrize(
    ("rung", "params", "gmacs", "expected"),
    [
        ("eomt", 0.7, 1.0, True),
        ("eomt", 2.0, 1.0, False),
        ("eomt", 0.7, 5.0, False),
        ("no-adapter", 0.3, 40.0, None),
        ("no-adapter", 8.0, 40.0, False),
    ],
)
def test_a_wrong_count_does_not_agree(rung, params, gmacs, expected):
    row = {"table": "1", "rung": rung, "size": "large", "GMACs printed": 669}
    assert agrees(row | {"params difference": params, "GMACs difference": gmacs}) is expected
