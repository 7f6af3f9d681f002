"""Intervals beside scipy's own tests, and differences paired by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eomtlib.report.uncertainty import differences, estimates, over_seeds


def estimated(gains):
    return estimates(
        pd.DataFrame({"rung": "b", "seed": range(len(gains)), "gain": gains}), ["rung"]
    ).loc["b"]


def test_the_interval_is_that_of_the_paired_t_test():
    draws = np.random.default_rng(0)
    a, b = draws.normal(50, 2, 5), draws.normal(48, 2, 5)
    found = estimated(a - b)
    theirs = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx((theirs.low, theirs.high))
    assert found["settled"] == (stats.ttest_rel(a, b).pvalue < 0.05)


def test_one_value_has_no_interval_and_settles_nothing():
    found = estimated([3.0])
    assert (found["gain"], found["seeds"]) == (3.0, 1)
    assert math.isnan(found["low"])
    assert not found["settled"]
    assert estimated([math.nan])["seeds"] == 0
    assert estimates(
        differences(frame(), axis="rung", base="z", within=["size"]), ["rung", "base"]
    ).empty


def frame():
    rows = [
        (size, rung, seed, pq)
        for size in ("nano", "micro")
        for seed, offset in enumerate((0.0, 10.0))
        for rung, pq in (("a", 1 + offset), ("b", 3 + offset), ("c", 2 + offset))
    ]
    rows.append(("micro", "c", 2, 99.0))  # a seed that only one of them has
    return pd.DataFrame(rows, columns=["size", "rung", "seed", "pq"])


def test_differences_are_paired_by_seed_within_their_group():
    gains = differences(frame(), axis="rung", base="a", within=["size"])
    assert len(gains) == 2 * 2 * 2  # sizes, seeds, and b and c against a
    assert set(gains.loc[gains["rung"] == "b", "gain"]) == {2.0}  # however far seeds lie apart
    previous = differences(frame(), axis="rung", base={"b": "a", "c": "b"}, within=["size"])
    assert set(previous.loc[previous["rung"] == "c", "gain"]) == {-1.0}
    table = estimates(previous, ["size", "rung"])
    assert table.loc[("micro", "c"), "seeds"] == 2
    assert table["settled"].all()


def test_two_runs_of_one_seed_are_an_error():
    twice = pd.concat([frame(), frame()])
    with pytest.raises(ValueError, match="several runs have the same size, seed, rung"):
        differences(twice, axis="rung", base="a", within=["size"])


def test_means_and_spreads_over_seeds():
    summary = over_seeds(frame().assign(mode="eager"), ["size", "rung"])
    assert summary.loc[("nano", "a"), ["pq", "pq_std", "seeds"]].tolist() == [
        6.0,
        pytest.approx(50**0.5),
        2,
    ]
    assert summary.index[0] == ("nano", "a")  # as they come
    assert (summary["mode"] == "eager").all()


def test_of_tables_without_any_effect_one_in_twenty_states_a_difference():
    draws, tables = np.random.default_rng(0), 1000
    rungs = list("abcdefg")
    previous = dict(zip(rungs[1:], rungs, strict=False))
    stated = plainly = 0
    for _ in range(tables):
        table = draws.normal(50, 1, (len(rungs), 3))
        gains = pd.DataFrame(
            [
                (r, s, table[i + 1, s] - table[i, s])
                for i, r in enumerate(previous)
                for s in range(3)
            ],
            columns=["rung", "seed", "gain"],
        )
        found = estimates(gains, ["rung"])
        stated += found["settled"].any()
        plainly += ((found["low"] > 0) | (found["high"] < 0)).any()
    assert plainly / tables > 0.2  # what each row's own interval would state
    # The rule holds it to 0.05; of 1000 tables the share lies within 0.02 of the true one.
    assert stated / tables < 0.07


def test_a_seed_without_a_value_is_named_and_leaves_its_rows_unsettled():
    found = estimated([2.0, 2.1, math.nan])
    assert (found["seeds"], found["without"], found["settled"]) == (2, "2", False)
    lost = frame().assign(pq=lambda f: f["pq"].where((f["rung"] != "b") | (f["seed"] != 1)))
    summary = over_seeds(lost, ["rung"], spread_of=["pq"])
    assert summary["without"].to_dict() == {"a": "", "b": "1", "c": ""}
    assert "without" not in over_seeds(frame(), ["rung"], spread_of=["pq"])
    assert "without" not in over_seeds(frame().assign(pq=math.nan), ["rung"], spread_of=["pq"])
