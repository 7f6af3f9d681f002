"""The papers' tables as data: printed figures, which never become records."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from eomtlib.core.errors import ConfigurationError, check_choice


def paper_dir() -> Path:
    """The folder of the papers' tables.

    ``$EOMTLIB_PAPER_TABLES``, else ``results/paper`` of the repository that holds the package, else
    of the current directory or one above it.

    Raises:
        ConfigurationError: when there is none.
    """
    named = os.environ.get("EOMTLIB_PAPER_TABLES")
    roots = [Path(__file__).parents[3], Path.cwd(), *Path.cwd().parents]
    candidates = [Path(named)] if named else [root / "results" / "paper" for root in roots]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise ConfigurationError(
        f"EOMTLIB_PAPER_TABLES={named!r} is no folder."
        if named
        else "The papers' tables are not here: set EOMTLIB_PAPER_TABLES to results/paper of "
        "eomtlib's repository, or run inside the repository."
    )


def load_paper_table(name: str) -> pd.DataFrame:
    """A table of the papers as printed, such as ``eomt_table1_ladder``; empty cells are NaN.

    Raises:
        ConfigurationError: for an unknown name, or when the tables are not at hand.
    """
    tables = {path.stem: path for path in sorted(paper_dir().glob("*.csv"))}
    return pd.read_csv(tables[check_choice("name", name, tables)])
