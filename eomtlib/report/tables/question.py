"""What a question of one's own comes to: every difference between its values, and an answer."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from eomtlib.core.words import ACCURACIES
from eomtlib.report.frame import accuracy_of
from eomtlib.report.tables.measured import change_table
from eomtlib.report.uncertainty import ALL_ROWS


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


def answer(frame: pd.DataFrame, factors: Sequence[str]) -> list[str]:
    """Sentences, one for each difference that the seeds settle, and one where they settle none.

    A difference is stated where the interval of all rows of its factor's table leaves zero out.

    Args:
        frame: as for ``effects``.
        factors: likewise.
    """
    heading = ACCURACIES[accuracy_of(frame)]
    said = []
    for axis, table in effects(frame, factors).items():
        within = [name for name in factors if name != axis]
        if not len(table):
            continue
        if not within:
            said += _of_level("", axis, table, heading)
            continue
        for level, rows in table.groupby(within, sort=False):
            where = ", ".join(_named(n, v) for n, v in zip(within, level, strict=True))
            said += _of_level(where, axis, rows, heading)
    return said or ["Nothing was trained, so that nothing can be said."]


def _of_level(where: str, axis: str, rows: pd.DataFrame, heading: str) -> list[str]:
    """What is to be said of one factor where all others are as ``where`` says."""
    prefix = f"{where}: " if where else ""
    settled = rows[rows["what the seeds say"].isin(("better", "worse"))]
    sentences = []
    for _, row in settled.iterrows():
        gain, ends = row[heading], sorted(abs(row[list(ALL_ROWS)].astype(float)))
        verb = "gains" if gain > 0 else "loses"
        sentences.append(
            f"{prefix}{_named(axis, row[axis])} {verb} {abs(gain):.1f} {heading} "
            f"({ends[0]:.1f} to {ends[1]:.1f}) against {_named(axis, row['against'])}."
        )
    open_ = rows.drop(settled.index)
    if len(open_):
        values = ", ".join(str(value) for value in open_[axis])
        against = open_["against"].iloc[0]
        seeds = int(open_["seeds"].max())
        count = "one seed settles" if seeds == 1 else f"{seeds} seeds settle"
        largest = open_.loc[open_[heading].abs().idxmax()]
        seen = (
            f" The largest seen is {largest[heading]:+.1f} {heading} (from "
            f"{largest[ALL_ROWS[0]]:+.1f} to {largest[ALL_ROWS[1]]:+.1f})."
            if seeds > 1
            else f" Seen: {', '.join(f'{value:+.1f}' for value in open_[heading])} {heading}."
        )
        sentences.append(
            f"{prefix}{count} no difference of {axis} {values} against {against}.{seen}"
        )
    return sentences


def _named(axis: str, value: object) -> str:
    return str(value) if axis in ("rung", "pretraining", "size") else f"{axis} {value}"
