"""One description of a parameter: notebooks, command line, docs and keys are held to it."""

import json
import re
from pathlib import Path

import pytest

from eomtlib.commands.options.verbs import VERBS
from eomtlib.study.parameters.markdown import hyperparameters_table, parameters_table
from eomtlib.study.parameters.notebooks import NOTEBOOKS, cell_line
from eomtlib.study.parameters.resolving import resolve_settings
from eomtlib.study.parameters.settings import PARAMETERS, Settings, parameters_of
from eomtlib.study.runs.identity import Identity
from eomtlib.study.runs.materials import Materials
from eomtlib.training.hyperparameters import HYPERPARAMETERS
from tests.samples import SMOKE

ROOT = Path(__file__).parents[3]


def cell(notebook):
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text())["cells"]
    (found,) = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    return "".join(found["source"]).splitlines()


@pytest.mark.parametrize("notebook", sorted(p.stem for p in (ROOT / "notebooks").glob("*.ipynb")))
def test_parameter_cells_are_as_described(notebook):
    lines = [line for line in cell(notebook) if re.match(r"\w+ = ", line)]
    named = {line.split(" = ")[0]: line for line in lines}
    assert list(named.values()) == [cell_line(name, notebook) for name in named]
    assert set(NOTEBOOKS.get(notebook, {})) <= set(named)  # no exception that nobody needs
    assert max(map(len, lines)) <= 100


def test_the_docs_list_every_parameter():
    text = (ROOT / "docs" / "parameters.md").read_text()
    assert parameters_table() in text
    assert hyperparameters_table() in text


def test_fit_has_an_option_for_every_parameter_but_two():
    class Options(list):
        def add_argument(self, name, **_):
            self.append(name)

        def add_argument_group(self, *_):
            return self

    options = Options()
    VERBS["fit"](options)
    own = ["--config", "--print-config", "--raw", "--no-wait"]
    others = ("seed", "train", "wait")
    assert not PARAMETERS.keys() & HYPERPARAMETERS.keys()
    known = [*PARAMETERS, *HYPERPARAMETERS]
    named = [f"--{name.replace('_', '-')}" for name in known if name not in others]
    assert sorted(options) == sorted(own + named)


CHANGED = {
    "size": "micro",
    "pretraining": "mim",
    "dataset": None,  # another set of files
    "task": "instance",
    "image_size": 128,
    "duration": "7steps",
    "overrides": "lr=3e-4",
    "batch_size": 4,
    "num_queries": 9,
    "train_images": 11,
    "val_images": 3,
    "seed": 1,
    "device": None,  # another machine
    "precision": "bfloat16",
    "weights": None,  # files
    "checkpoint": None,
    "pretraining_images": None,
    "pretraining_steps": 3,
    "masking": "unmasked",
    "inference_masking": "masked",
    "query_blocks": 2,
    "freeze": "none",
    "lateral_connections": "no",
    "taps": "1,5",
    "compile": "yes",
    "activation_checkpointing": "yes",
    "gradient_accumulation": 2,
    "workers": 1,
    "loggers": (),
    "checkpoint_every": "3steps",
    "validate_every": "50%",
    "validate_on": 2,
    "early_stopping": None,  # with validate_every alone
    "data_path": None,
    "train_data": None,
    "val_data": None,
    "exif": None,
    "on_bad": None,
    "timing_modes": "compiled",
    "sampler": None,  # needs a GPU
    "samplers": None,  # likewise
}


@pytest.mark.parametrize("name", [name for name, value in CHANGED.items() if value is not None])
def test_what_a_parameter_tells_apart_is_what_its_description_says(name, tmp_path, monkeypatch):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path.parent / "cache"))
    rung = "eomt" if name in ("masking", "inference_masking", "pretraining_steps") else "pmt"
    base = {"pretraining": "mim"} if name == "pretraining_steps" else {}

    def identity(**changes):
        settings = resolve_settings(**{**SMOKE, **base, **changes})
        return Identity(rung, Materials(settings, results_dir=tmp_path, progress=False))

    first, second = identity(), identity(**{name: CHANGED[name]})
    told = parameters_of(Settings)[name].tells
    assert (first.training_key != second.training_key) == ("training" in told)
    keys = [one.evaluation_key("t") for one in (first, second)]
    assert (keys[0] != keys[1]) == ("evaluation" in told)
    timings = [[one.timing_key(*way) for way in one.variants] for one in (first, second)]
    # A pretraining is another architecture only where timm has another.
    assert (timings[0] != timings[1]) == ("timing" in told and name != "pretraining")


def test_every_parameter_of_a_run_is_looked_at_here():
    assert set(CHANGED) == set(parameters_of(Settings))
