"""All that a results folder holds, a row for each model."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from eomtlib.ladder import LADDER
from eomtlib.records import Record
from eomtlib.results import to_dataframe
from eomtlib.uncertainty import over_seeds

_MODEL = ["dataset", "input_size", "steps", "size", "pretraining", "rung", "options", "masking"]
_SHOWN = ["pq", "pq_std", "pq_things", "pq_stuff", "seeds", "params_m", "gmacs", "fps", "label"]


def records_table(records: Iterable[Record]) -> pd.DataFrame:
    """Every model that was evaluated, over its seeds: the newest evaluation of each seed.

    Args:
        records: of any kinds.

    Returns:
        Columns: data set, image size, steps, size, pretraining, rung, choices within it, masking at
        inference; PQ with its spread and the number of seeds; costs; what must be said of it.
    """
    frame = to_dataframe(records)
    if frame.empty:
        return frame
    frame = frame.drop_duplicates([*_MODEL, "seed"], keep="last").fillna({"options": ""})
    order = {rung: step for step, rung in enumerate(LADDER)}
    keys = ["dataset", "input_size", "size", "pretraining", "rung", "options"]
    frame = frame.sort_values(keys, key=lambda c: c.map(order) if c.name == "rung" else c)
    table = over_seeds(frame, _MODEL)
    return table[[column for column in _SHOWN if column in table]].reset_index()
