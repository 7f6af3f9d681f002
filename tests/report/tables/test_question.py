"""Answers to questions of one's own: what is said is what the seeds settle."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eomtlib.report.answers import effect_sentences
from eomtlib.report.plots import plot_factors, plot_validation
from eomtlib.report.tables import effects


def runs(values, *, seeds=3, noise=0.2, **more):
    """A row for each run: what is given for a combination, and a drawn deviation."""
    rng = np.random.default_rng(1)
    rows = [
        dict(zip(("lr", "rung"), names, strict=False))
        | {"seed": s, "pq": pq + noise * rng.normal()}
        for names, pq in values.items()
        for s in range(seeds)
    ]
    return pd.DataFrame(rows).assign(**more)


def sentences(frame, factors):
    return [text for table in effects(frame, factors).values() for text in effect_sentences(table)]


def test_a_large_difference_is_stated_with_its_interval():
    frame = runs({("1e-4",): 40.0, ("2e-4",): 43.0, ("4e-4",): 40.1}, seeds=5)
    found = sentences(frame, ["lr"])
    assert len(found) == 2
    stated = re.fullmatch(
        r"Learning rate 2e-4 gains (\S+) PQ \((\S+) to (\S+)\) against learning rate 1e-4\.",
        found[0],
    )
    own, base = (frame[frame.lr == lr].pq.to_numpy() for lr in ("2e-4", "1e-4"))
    gains = own - base
    # Two rows are stated at once: Bonferroni's.
    reach = stats.t.isf(0.025 / 2, 4) * gains.std(ddof=1) / 5**0.5
    expected = (gains.mean(), gains.mean() - reach, gains.mean() + reach)
    assert [float(x) for x in stated.groups()] == pytest.approx(expected, abs=0.051)
    assert found[1].startswith(
        "Not settled by 5 seeds against learning rate 1e-4: learning rate 4e-4 "
    )


def test_a_loss_is_called_one():
    (said,) = sentences(runs({("1e-4",): 40.0, ("1e-3",): 30.0}), ["lr"])
    assert re.match(r"Learning rate 1e-3 loses (9|10)\.\d PQ \(\d+\.\d to \d+\.\d\) against", said)


def test_two_factors_are_each_said_at_every_level_of_the_other():
    values = {
        ("1e-4", "eomt"): 40.0,
        ("2e-4", "eomt"): 44.0,
        ("1e-4", "pmt"): 40.0,
        ("2e-4", "pmt"): 40.0,
    }
    found = sentences(runs(values, seeds=5), ["lr", "rung"])
    said = [re.split(r" gains| seeds| loses", text)[0] for text in found]
    assert said == [
        "EoMT: learning rate 2e-4",
        "Not settled by 5",
        "learning rate 2e-4: giving up the fine-tuning of the encoder",
        "Not settled by 5",
    ]


def test_nothing_trained_says_nothing():
    assert sentences(runs({("1e-4",): float("nan"), ("2e-4",): float("nan")}), ["lr"]) == []


@pytest.mark.parametrize("factors", [["lr"], ["lr", "rung"], ["lr", "rung", "freeze"]])
def test_every_run_is_in_the_figure(factors):
    values = {(lr, rung): 40.0 for lr in ("1e-4", "2e-4") for rung in ("eomt", "pmt")}
    frame = runs(values, freeze="none")
    if factors == ["lr"]:
        frame = frame[frame.rung == "eomt"]
    figure = plot_factors(frame, factors)
    ax = figure.axes[0]
    if len(factors) == 2:
        texts = [text.get_text() for text in ax.texts]
        means = frame.groupby(factors, sort=False).pq.mean()
        assert [float(text.split("\n")[0]) for text in texts] == pytest.approx(
            means.to_list(), abs=0.051
        )
    else:
        dots = next(line for line in ax.lines if line.get_label() == "a run each")
        assert len(dots.get_xdata()) == len(frame)


def test_validated_runs_have_a_panel_of_their_own():
    steps = pd.DataFrame({"step": [1, 3, 5], "loss": [3.0, 2.0, 1.0]})
    validated = steps.assign(val_pq=[np.nan, 10.0, 20.0])
    assert len(plot_validation({"a": steps}, metric="pq").axes) == 1
    panels = plot_validation({"a": steps, "b": validated}, metric="pq").axes
    assert len(panels) == 2
    assert panels[1].lines[0].get_ydata().tolist() == [10.0, 20.0]


def test_numbers_stand_in_their_order():
    frame = runs({("1e-3",): 1.0, ("5e-4",): 2.0, ("2e-3",): 3.0}, seeds=1, noise=0)
    ax = plot_factors(frame, ["lr"]).axes[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["5e-4", "1e-3", "2e-3"]
    mean = next(line for line in ax.lines if line.get_label() == "mean over seeds")
    assert mean.get_ydata().tolist() == [2.0, 1.0, 3.0]
