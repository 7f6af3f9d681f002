"""Hyper-parameters otherwise than the recipe's, and what is varied, as people write them."""

import json

import pytest
import torch
import yaml

from eomtlib.commands.verbs.fit import (
    read_configuration,
    resolved,
    write_configuration,
    write_recipes,
)
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import SegmentMap
from eomtlib.data.frequencies import frequency_weights
from eomtlib.study.parameters.overriding import axes, overrides_of, read_overrides
from eomtlib.study.parameters.resolving import resolve_settings
from eomtlib.study.points import grid
from eomtlib.study.runs.identity import chosen_recipe
from eomtlib.study.study import Study
from eomtlib.training.hyperparameters import HYPERPARAMETERS
from tests.samples import SMOKE


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("layer_decay=0.9; lr=2e-4", "lr=0.0002; layer_decay=0.9"),
        ({"lr": "2e-4", "warmup": ["100", "200"]}, "lr=0.0002; warmup=[100,200]"),
        ({"lr": 2e-4, "warmup": (100, 200)}, "lr=0.0002; warmup=[100,200]"),
        ("warmup=0.05", "warmup=[0.05]"),
        ("warmup=[0.1, 1.0]", "warmup=[0.1,1.0]"),
        ("warmup=500", "warmup=[500]"),
        ("scale=[0.5,2]; decay_vectors=no", "decay_vectors=no; scale=[0.5,2]"),
        ("class_weights=frequencies", "class_weights=frequencies"),
        ("class_weights=[1, 1, 2.5]", "class_weights=[1,1,2.5]"),
        ("first_window=0;", "first_window=0"),
        ("", ""),
    ],
)
def test_overrides_have_one_spelling(given, expected):
    assert read_overrides("overrides", given) == expected
    # What was read is read as itself.
    assert read_overrides("overrides", expected) == expected


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("lr", "'lr' must be a name, = and a value"),
        ("lr=1e-4; lr=2e-4", "each name once"),
        ("learning_rate=1e-4", "overrides='learning_rate' is not known"),
        ("lr=fast", "lr='fast' must be a number"),
        ("lr=nan", "lr='nan' must be a number"),
        ("num_points=1.5", "num_points='1.5' must be a whole number"),
        ("decay_vectors=perhaps", "decay_vectors='perhaps' is not known"),
        ("warmup=[a,b]", "warmup='a' must be a number"),
    ],
)
def test_what_is_no_override_is_refused(wrong, said):
    with pytest.raises(ConfigurationError) as caught:
        read_overrides("overrides", wrong)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("lr=0", "lr=0.0 must lie in (0, inf)"),
        ("warmup=[10,0.5]", "all in steps (500) or all as shares"),
        ("scale=[2,1]", "low ≤ high"),
        ("schedule=linear", "Choose one of: poly, cosine"),
        ("class_weights=[0,0]", "not all of them 0"),
        ("class_weights=rare", "Choose one of: frequencies"),
        ("annealing_start=[0.1]", "a start and an end for each masked block"),
    ],
)
def test_values_out_of_range_are_refused_before_training(wrong, said):
    with pytest.raises(ConfigurationError) as caught:
        chosen_recipe("eomt", resolve_settings(**SMOKE, overrides=wrong))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("class_weights=[1,2]", "class_weights holds 2 numbers"),
        ("annealing_start=[0.1]; annealing_end=[0.2]", "hold 1 windows, and 3 blocks are masked"),
    ],
)
def test_lists_of_another_length_are_refused_by_the_plan(overrides, said, tmp_path):
    study = Study(rungs="eomt", results_dir=tmp_path, **SMOKE, overrides=overrides)
    with pytest.raises(ConfigurationError) as caught:
        study.plan()
    assert said in str(caught.value)


def test_every_hyper_parameter_changes_the_recipe_and_its_key():
    other = {
        "decay_vectors": "no",
        "schedule": "cosine",
        "class_weights": "frequencies",
        "annealing_start": "[0.1]",
        "annealing_end": "[0.1]",
        "warmup": "[7]",
        "scale": "[0.3,0.4]",
    }
    windows = "annealing_start=[0.1]; annealing_end=[0.1]"
    plain = chosen_recipe("eomt", resolve_settings(**SMOKE))
    for name, known in HYPERPARAMETERS.items():
        value = other.get(name) or ((known.default or 1) * 0.5 if known.default else 1)
        value = 3 if isinstance(known.default, int) and name not in other else value
        value = 0.5 if name == "ema_decay" or name in ("brightness", "contrast") else value
        value = 0.2 if name in ("saturation", "hue") else value
        text = windows if name.startswith("annealing_") and name in other else f"{name}={value}"
        given = {key: item for key, item in SMOKE.items() if name != "epochs" or key != "duration"}
        found = chosen_recipe("eomt", resolve_settings(**given, overrides=text))
        assert found != plain, name


def test_hyper_parameters_are_given_in_any_way_and_are_one_run(tmp_path):
    ways = [
        {"overrides": "lr=3e-4; layer_decay=0.9"},
        {"overrides": {"layer_decay": "0.9", "lr": 0.0003}},
        {"lr": "3e-4", "layer_decay": 0.9},
        {"lr": 3e-4, "overrides": "lr=5; layer_decay=.9"},
    ]
    keys = {
        Study(rungs="eomt", results_dir=tmp_path, **SMOKE, **way)
        .runs[0]
        .identity.training_key.digest()
        for way in ways
    }
    plain = Study(rungs="eomt", results_dir=tmp_path, **SMOKE).runs[0].identity.training_key
    assert len(keys) == 1
    assert plain.digest() not in keys
    assert plain.recipe["optimizer"]["lr"] == 1e-3


def test_epochs_are_the_duration():
    given = {name: value for name, value in SMOKE.items() if name != "duration"}
    assert resolve_settings(**given, epochs=3).duration == "3epochs"
    assert resolve_settings(**given, epochs=3, duration="3epochs").duration == "3epochs"
    with pytest.raises(ConfigurationError, match="both say how long"):
        resolve_settings(**given, epochs=3, duration="4epochs")


def test_runs_vary_in_hyper_parameters_and_in_lists(tmp_path):
    varied = axes("vary", "lr=1e-4,2e-4; taps=[1,5],[2,3,5]; rung=pmt")
    assert varied == {"lr": ["1e-4", "2e-4"], "taps": ["1,5", "2,3,5"], "rung": ["pmt"]}
    study = Study(grid(**varied), results_dir=tmp_path, **SMOKE)
    found = [(run.identity.recipe.optimizer.lr, run.settings.options.taps) for run in study.runs]
    assert found == [(lr, taps) for lr in (1e-4, 2e-4) for taps in ((1, 5), (2, 3, 5))]
    assert len({run.folder for run in study.runs}) == 4
    for wrong in ("lr=1e-4,1e-4", "lr=1e-4,,2e-4"):
        with pytest.raises(ConfigurationError, match="each once"):
            axes("vary", wrong)


def test_the_printed_configuration_reads_back_and_names_its_sources(tmp_path):
    class Chosen:
        config = str(tmp_path / "own.yaml")

    (tmp_path / "own.yaml").write_text("overrides:\n  lr: 3e-4\n  warmup: [10, 20]\nepochs: 2\n")
    given = read_configuration(Chosen())
    first = resolved({"device": "cpu", **given})
    text = write_configuration(first)
    recipe = write_recipes(first)
    assert "#   lr: 0.0003 (given)" in recipe
    assert "#   weight_decay: 0.05 (recipe)" in recipe
    (tmp_path / "own.yaml").write_text(text + recipe)
    assert yaml.safe_load(text)["overrides"] == "lr=0.0003; warmup=[10,20]; epochs=2"
    assert resolved(read_configuration(Chosen())) == first
    assert overrides_of(first["overrides"])["warmup"] == (10, 20)


class Drawn:
    """Ten images: class 0 in each, class 1 in one of two, class 2 once, class 3 as crowd alone."""

    classes = tuple("abcd")

    def __len__(self):
        return 10

    def read(self, index):
        labels = [0, 3] + [1] * (index % 2) + [2] * (index == 4)
        crowd = torch.tensor([label == 3 for label in labels])
        return None, SegmentMap(
            torch.zeros(1, 2, 2, dtype=torch.int16), torch.tensor(labels), crowd
        )


def test_frequencies_are_of_segments():
    # 10, 5 and 1 segments: the median is 5.
    assert frequency_weights(Drawn()) == pytest.approx([0.5**0.5, 1.0, 5**0.5, 1.0], abs=1e-4)


def test_a_run_weighted_by_frequencies_is_trained(tmp_path, brief):
    study = Study(
        rungs="eomt", results_dir=tmp_path, **SMOKE, overrides="class_weights=frequencies"
    )
    module = study.runs[0].maker.module(1)
    weights = module.loss.class_weights
    assert len(set(weights[:-1].tolist())) > 1
    assert weights[-1] == pytest.approx(0.1)
    (result,) = study.learn()
    assert json.dumps(result.training.config["recipe"]["loss"]["class_weights"]) == '"frequencies"'
