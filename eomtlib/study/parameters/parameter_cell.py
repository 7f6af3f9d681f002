"""What the parameter cell of a notebook says, checked, and as the command that says it again."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eomtlib.core.errors import check_choice
from eomtlib.study.parameters.notebooks import NOTEBOOKS, default_and_help
from eomtlib.study.parameters.settings import PARAMETERS

_PLAIN = (str, int, float, type(None))
_INJECTED = "# Parameters"
"""What papermill's own cell begins with."""


@dataclass(frozen=True)
class ParameterCell:
    """The parameters of a notebook.

    Attributes:
        notebook: its name, without an ending.
        values: name → value, of the parameter cell, or what papermill put over it.
    """

    notebook: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, notebook: str, names: Mapping[str, Any]) -> ParameterCell:
        """From what a notebook has defined (``globals()``).

        In a kernel, the parameters are what the last cell that sets ``results_dir`` assigns, and
        papermill's cell behind it; elsewhere, all plain values.

        Args:
            notebook: its name.
            names: with the cells of the kernel as ``In``, where there is one.

        Raises:
            ConfigurationError: for a name that is no parameter of the notebook.
        """
        sources = [text.lstrip() for text in names.get("In", ())]
        is_injected = [text.startswith(_INJECTED) for text in sources]
        declared = [n for n, text in enumerate(sources) if "results_dir" in _assigned(text)]
        declared = [n for n in declared if not is_injected[n]]
        if declared:
            plain = given = _assigned(sources[declared[-1]])
            after = declared[-1] + 1
            if after < len(sources) and is_injected[after]:
                given = plain | _assigned(sources[after])
        else:
            plain = given = {k for k, v in names.items() if isinstance(v, _PLAIN) and k[0] != "_"}
        known = [*sorted(PARAMETERS.keys() - {"seed"}), *NOTEBOOKS.get(notebook, {})]
        for name in plain:
            check_choice("parameter", name, known)
        for name in given:
            check_choice("parameter", name, plain)
        return cls(notebook, {name: names[name] for name in names if name in given})

    def but(self, *names: str) -> dict[str, Any]:
        """All that a study takes, without what the notebook reads itself."""
        return {name: value for name, value in self.values.items() if name not in names}

    def command(self, **changed: Any) -> str:
        """Papermill's command that runs the notebook as it was asked for, but for what changes.

        Args:
            changed: None for what is left out.
        """
        given = {**self.values, **changed}
        said = [
            f"-p {name} {shlex.quote(str(value))}"
            for name, value in given.items()
            if value is not None and value != default_and_help(name, self.notebook)[0]
        ]
        start = f"papermill notebooks/{self.notebook}.ipynb results/runs/{self.notebook}.ipynb"
        return " ".join([start, *said])


def _assigned(source: str) -> set[str]:
    """The names that a cell of plain assignments sets; none of any other cell."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a cell in the notebook's own language
        return set()
    if not all(isinstance(line, ast.Assign) for line in body):
        return set()
    return {target.id for line in body for target in line.targets if isinstance(target, ast.Name)}
