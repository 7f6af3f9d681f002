"""Intervals beside scipy's own tests, and differences paired by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eomtlib.report.tables import change_table, save_table, style_plain
from eomtlib.report.uncertainty import (
    differences,
    estimates,
    over_seeds,
    what_seeds_can_say,
)


def estimated(gains):
    seeds = range(len(gains))
    return estimates(pd.DataFrame({"rung": "b", "seed": seeds, "gain": gains}), ["rung"]).loc["b"]


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
    assert "One seed settles no" in what_seeds_can_say(found.to_frame().T)
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


def test_a_table_without_any_effect_states_a_difference_in_one_of_twenty():
    """Six steps, three seeds: judged each by itself, a quarter of such tables stated one."""
    draws = np.random.default_rng(0).normal(50, 1, (1500, 7, 3))
    alone = together = 0
    previous = {rung: rung - 1 for rung in range(1, 7)}
    columns = {"rung": np.repeat(range(7), 3), "seed": np.tile(range(3), 7)}
    for draw in draws:
        frame = pd.DataFrame(columns | {"pq": draw.ravel()})
        found = estimates(differences(frame, axis="rung", base=previous), ["rung"])
        alone += ((found["low"] > 0) | (found["high"] < 0)).any()
        together += found["settled"].any()
    assert alone / len(draws) > 0.18
    assert together / len(draws) < 0.06


def seven_rungs(pq):
    rows = [(rung, seed, pq(rung, seed), 100) for rung in range(7) for seed in range(3)]
    return pd.DataFrame(rows, columns=["rung", "seed", "pq", "steps"])


def test_a_real_difference_is_still_stated_and_what_can_be_is_said():
    frame = seven_rungs(lambda rung, seed: 50 + 10 * rung + 0.1 * (seed * rung % 3))
    table = change_table(frame, axis="rung", base={rung: rung - 1 for rung in range(1, 7)})
    assert set(table["what the seeds say"]) == {"better"}
    assert (table["from (all)"] < table["from"]).any()
    factor = stats.t.ppf(1 - 0.05 / 12, 2) / 3**0.5
    note = table.attrs["note"]
    assert f"3 seeds settle a difference of {factor:.1f} of its standard deviations" in note
    assert "6 compared together at 95%" in note
    assert "not images" in note
    assert note in style_plain(table).to_html()


def test_a_seed_that_diverged_is_named_and_not_left_out():
    frame = seven_rungs(lambda rung, seed: math.nan if (rung, seed) == (1, 2) else 50.0 + rung)
    untrained = pd.DataFrame({"rung": [9], "seed": [0], "pq": [math.nan], "steps": [math.nan]})
    frame = pd.concat([frame, untrained])
    table = change_table(frame, axis="rung", base=0).set_index("rung")
    assert table["what the seeds say"].to_dict() == {1: "seed 2 diverged"} | dict.fromkeys(
        range(2, 7), "better"
    )
    assert math.isnan(table.loc[1, "PQ"])
    means = over_seeds(frame, ["rung"])["pq"]
    assert math.isnan(means[1])
    assert means[2] == 52.0


EVIL = "<img src=x onerror=alert(1)> a|b $\\frac$ 50% of_it ~ ^ \\ {}"


def test_texts_from_outside_are_shown_and_not_run(tmp_path):
    table = pd.DataFrame({"class": [EVIL], EVIL: [1.5]})
    shown = style_plain(table).to_html()
    assert "<img" not in shown
    assert shown.count("&lt;img") == 2
    paths = {path.suffix: path.read_text() for path in save_table(table, tmp_path / "t", note="n")}
    assert "<img" not in paths[".md"]
    rows = [line for line in paths[".md"].splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {3}
    body = paths[".tex"].split("toprule")[1]
    for plain in ("50%", "of_it", "$\\frac", "~ ^"):
        assert plain not in body
    assert "\\textasciitilde" in body
