"""What a study's answer says, by what its trainings can say."""

import numpy as np
import pandas as pd
import pytest

from eomtlib.report.answers import MASKED, ablation_answer, masking_answer
from eomtlib.report.answers.answer import Answer
from eomtlib.report.answers.notebooks import ANNEALED
from eomtlib.study.parameters.parameter_cell import ParameterCell
from eomtlib.study.study import Study

RUNGS = {"vit-adapter-m2f": (60.0, 50.0), "no-adapter": (58.0, 100.0), "eomt": (50.0, 200.0)}
CELL = ParameterCell("ablation", {"rungs": ",".join(RUNGS), "duration": "4steps"})


def study(tmp_path, seeds="0", **more):
    return Study(rungs=list(RUNGS), seeds=seeds, results_dir=tmp_path, progress=False, **more)


def frame(seeds, *, pq=True):
    rng = np.random.default_rng(0)
    rows = [
        {"rung": rung, "size": "nano", "seed": seed, "fps": fps, "params_m": 2.0, "steps": 1200}
        | {"pq": value + 0.2 * rng.normal() if pq else float("nan"), "train_minutes": 3.0}
        for rung, (value, fps) in RUNGS.items()
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def test_nothing_trained_still_tells_the_speed(tmp_path):
    said = ablation_answer(study(tmp_path, train=False), frame(1, pq=False)).sentences
    assert said[0].startswith("EoMT runs 4.0 times as fast as ViT-Adapter + Mask2Former")
    assert said[-1].startswith("Nothing was trained")


def test_speeds_of_different_times_are_not_divided(tmp_path):
    one = study(tmp_path, train=False)
    timed = frame(1, pq=False).assign(session=["a", "b", "a"])
    assert "4.0 times as fast" in ablation_answer(one, timed).sentences[0]
    said = ablation_answer(one, timed.assign(session=["a", "a", "b"])).sentences
    assert "at different times: 200 and 50 images a second" in said[0]
    assert not any("times as fast" in text for text in said)
    ways = timed.iloc[[0, 2]].assign(model="EoMT", way=[MASKED, ANNEALED])
    assert "4.0 times as fast without masks" in masking_answer(one, ways).sentences[0]
    apart = masking_answer(one, ways.assign(session=["a", "b"])).sentences[0]
    assert apart == "EoMT was timed with masks and without at different times."


def test_a_short_training_says_what_it_can_and_what_more_would_take(tmp_path):
    answer = ablation_answer(study(tmp_path, duration="4steps"), frame(1), cell=CELL)
    assert any(text.startswith("PQ says nothing yet (short training") for text in answer.sentences)
    assert not any(" gains " in text or "Seen" in text for text in answer.sentences)
    (why, command), *_ = answer.next_steps
    assert "700 steps of batch 8 at 64×64" in why
    assert command.endswith("-p rungs vit-adapter-m2f,no-adapter,eomt")  # at the default length


def test_one_seed_says_how_many_would_do(tmp_path):
    answer = ablation_answer(study(tmp_path), frame(1), cell=CELL)
    assert "One seed cannot say whether such differences are real." in answer.sentences
    assert "in the gallery" in answer.sentences[-1]
    assert "-p seeds 0,1,2" in answer.next_steps[0][1]


def test_several_seeds_state_what_they_settle(tmp_path):
    answer = ablation_answer(study(tmp_path, seeds="0,1,2,3,4"), frame(5), cell=CELL)
    assert any(text.startswith("EoMT loses 1") for text in answer.sentences)
    assert any(text.startswith("Giving up the ViT-Adapter loses") for text in answer.sentences)
    assert answer.doubts


def test_what_comes_from_outside_is_shown_as_it_is():
    answer = Answer(
        question="a *b* <i>?",
        sentences=("$x$ `y`",),
        next_steps=(("why", "do this\n# no heading"),),
    )
    text = answer.ending.data
    assert "<i>" not in text
    assert r"\$x\$" in text
    assert "\n# no" not in text


@pytest.mark.parametrize("seeds", [1, 5])
def test_the_end_repeats_the_answer(tmp_path, seeds):
    answer = ablation_answer(study(tmp_path), frame(seeds))
    assert answer.ending.data.startswith(answer._repr_markdown_())
