"""What a notebook's parameter cell says, whatever else its kernel holds."""

import shlex

import pytest

from eomtlib.core.errors import ConfigurationError
from eomtlib.study.parameters.parameter_cell import ParameterCell

CELL = """# Everything can be left.
size = "nano"  # nano, micro
duration = ""
results_dir = "results/runs"
"""


def kernel(*cells):
    """The names of a kernel that has run some cells, and is at one that imports."""
    names = {}
    for cell in cells:
        exec(cell, names)
    return names | {"In": ["", *cells, "import sys"], "Out": {}, "_": "seen", "exit": print}


def test_what_a_study_takes_is_what_the_cells_name():
    names = kernel(CELL, "# Parameters\nduration = 4\n")
    cell = ParameterCell.read("ablation", names)
    assert cell.but("results_dir") == {"size": "nano", "duration": 4}


def test_names_of_later_cells_are_no_parameters():
    names = kernel(CELL, "from os import sep\nnote = 'x'", "here = 'x'")
    found = ParameterCell.read("ablation", names).values
    assert set(found) == {"size", "duration", "results_dir"}


@pytest.mark.parametrize(
    "cells", [(CELL + "duraton = 3\n",), (CELL, "# Parameters\nduraton = 3\nresults_dir = 'x'\n")]
)
def test_a_misspelt_parameter_is_refused_by_name(cells):
    with pytest.raises(ConfigurationError, match=r"duraton.*'duration'"):
        ParameterCell.read("ablation", kernel(*cells))
    plain = {k: v for k, v in kernel(*cells).items() if k != "In"}
    with pytest.raises(ConfigurationError, match=r"duraton"):
        ParameterCell.read("ablation", plain)


def test_what_the_notebook_does_not_have_cannot_be_put_over_it():
    with pytest.raises(ConfigurationError, match="taps"):
        ParameterCell.read("ablation", kernel(CELL, "# Parameters\ntaps = '1,2'\n"))


def test_parameters_of_another_notebook_are_refused():
    with pytest.raises(ConfigurationError, match="encoder_sizes"):
        ParameterCell.read("ablation", kernel(CELL + "encoder_sizes = 'small'\n"))


def test_the_command_says_what_differs_from_the_defaults():
    cell = ParameterCell.read("ablation", kernel(CELL.replace("nano", "my size", 1)))
    assert cell.command(seeds="0,1") == (
        "papermill notebooks/ablation.ipynb results/runs/ablation.ipynb "
        "-p size 'my size' -p seeds 0,1"
    )
    assert shlex.split(cell.command(size="a; rm"))[-1] == "a; rm"
    assert "size" not in cell.command(size=None)
