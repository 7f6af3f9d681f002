"""What a question of one's own comes to: every difference between its values."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from eomtlib.report.tables.measured import change_table


def effects(frame: pd.DataFrame, factors: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Factor → what each of its values gains over the first, everything else equal.

    Args:
        frame: as ``frame.to_frame`` returns it, with a column for each factor.
        factors: what was varied, at least one.

    Returns:
        Tables as of ``change_table``; no rows where nothing was trained.
    """
    others = {axis: [name for name in factors if name != axis] for axis in factors}
    return {
        axis: change_table(frame, axis=axis, base=frame[axis].iloc[0], within=others[axis])
        for axis in factors
    }
