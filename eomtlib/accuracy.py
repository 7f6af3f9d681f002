"""The figure that stands for a task: its column in every table, and what people call it."""

from __future__ import annotations

import pandas as pd

ACCURACIES = {"pq": "PQ", "ap": "AP", "miou": "mIoU"}
"""Column, as records name the figure → heading. One for each task."""


def accuracy_of(table: pd.DataFrame) -> str:
    """The column of a table's accuracies.

    Args:
        table: of one task; the first where a printed table has several.
    """
    return next(column for column in ACCURACIES if column in table)
