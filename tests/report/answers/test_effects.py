"""Answers to questions: what is said is what the seeds settle, and how many would settle it."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eomtlib.report.answers.effects import effect_sentences
from eomtlib.report.tables import change_table, closing_table
from eomtlib.report.uncertainty import pooled_spread, seeds_needed


def runs(values, *, seeds=3, noise=0.2, **more):
    """A row for each run: what is given for a combination, and a drawn deviation."""
    rng = np.random.default_rng(1)
    rows = [
        dict(zip(("rung", "pretraining"), names, strict=False))
        | {"seed": s, "pq": pq + noise * rng.normal()}
        for names, pq in values.items()
        for s in range(seeds)
    ]
    return pd.DataFrame(rows).assign(**more)


LADDER = {("vit-adapter-m2f",): 60.0, ("no-adapter",): 55.0, ("no-pixel-decoder",): 54.9}
STEPS = {"no-adapter": "vit-adapter-m2f", "no-pixel-decoder": "no-adapter"}


def test_steps_are_said_by_the_component_that_goes_and_only_settled_ones_as_facts():
    changes = change_table(runs(LADDER, seeds=5), axis="rung", base=STEPS)
    stated, open_ = effect_sentences(changes)
    found = re.fullmatch(r"Giving up the ViT-Adapter loses (\S+) PQ \((\S+) to (\S+)\)\.", stated)
    row = changes.iloc[0]
    ends = sorted(abs(row[["from (all rows)", "to (all rows)"]].astype(float)))
    assert [float(x) for x in found.groups()] == pytest.approx([-row["PQ"], *ends], abs=0.051)
    assert open_.startswith("Not settled by 5 seeds by giving up: the pixel decoder")
    assert re.search(r"about \d+ would settle one point", open_)


def test_one_seed_states_nothing():
    (said,) = effect_sentences(change_table(runs(LADDER, seeds=1), axis="rung", base=STEPS))
    assert said.startswith("Seen by giving up: the ViT-Adapter −")
    assert "loses" not in said


def test_what_a_pretraining_closes_is_said_of_it():
    values = {(r, p): 50.0 for r in ("vit-adapter-m2f", "eomt") for p in ("none", "mim")}
    frame = runs(values | {("eomt", "none"): 40.0}, seeds=5)
    changes = closing_table(
        frame, axis="rung", base="vit-adapter-m2f", between="pretraining", against="none"
    )
    (said,) = effect_sentences(changes)
    assert re.match(r"With pretraining mim, the gap of EoMT closes by (9\.|10\.)", said)
    assert said.endswith("compared with pretraining none.")


def test_so_many_seeds_settle_a_point_four_times_in_five():
    rng = np.random.default_rng(0)
    for spread in (0.5, 1.0, 2.0):
        seeds = seeds_needed(spread)
        for count, settles in ((seeds, True), (seeds - 1, False)):
            drawn = rng.normal(1.0, spread, (4000, count))
            share = (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean()
            # Of 4000 draws the share lies within 0.02 of the true one.
            assert share > 0.78 if settles else share < 0.82
    assert seeds_needed(1.0, rows=6) > seeds_needed(1.0)


def test_a_spread_is_pooled_over_what_has_several_seeds():
    frame = runs({("a",): 1.0, ("b",): 50.0}, seeds=4)
    frame.loc[len(frame)] = {"rung": "c", "seed": 0, "pq": 9.0}  # one seed says nothing
    spread, count = pooled_spread(frame, ["rung"], of="pq")
    variances = [frame[frame.rung == rung].pq.var(ddof=1) for rung in "ab"]
    assert (spread, count) == (pytest.approx(np.mean(variances) ** 0.5), 8)
    assert pooled_spread(frame[frame.rung == "c"], ["rung"], of="pq")[1] == 0
