"""What each rung reaches, and what its training takes, with its encoder trained and frozen."""

from __future__ import annotations

import pandas as pd

from eomtlib.core.words import ACCURACIES
from eomtlib.models.ladder import LADDER
from eomtlib.report.frame import accuracy_of
from eomtlib.report.uncertainty import over_seeds


def frozen_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each rung, in the ladder's order.

    Args:
        frame: as ``frame.to_frame`` returns it, with a column ``encoder``, ``trained`` or
            ``frozen``.

    Returns:
        Accuracy and the training's memory in GiB of both, means over seeds; empty where nothing was
        trained.
    """
    figure = accuracy_of(frame)
    if "peak_memory" not in frame:
        return pd.DataFrame()
    means = over_seeds(frame, ["rung", "encoder"])[[figure, "peak_memory"]].unstack("encoder")
    headings = {figure: ACCURACIES[figure], "peak_memory": "memory (GiB)"}
    columns = {
        f"{heading}, encoder {way}": means[column, way]
        for column, heading in headings.items()
        for way in ("trained", "frozen")
        if (column, way) in means
    }
    table = pd.DataFrame(columns).loc[[rung for rung in LADDER if rung in means.index]]
    return table.reset_index(names="rung")
