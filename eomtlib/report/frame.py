"""Data frames of what was measured."""

from __future__ import annotations

import pandas as pd

from eomtlib.core.words import ACCURACIES


def accuracy_of(table: pd.DataFrame) -> str:
    """The column of a table's accuracies.

    Args:
        table: of one task; the first where a printed table has several.
    """
    return next(column for column in ACCURACIES if column in table)
