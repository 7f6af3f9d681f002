"""All that a results folder holds, a row for each model."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from eomtlib.core.words import ACCURACIES
from eomtlib.models.ladder import LADDER
from eomtlib.report.frame import to_dataframe
from eomtlib.report.uncertainty import over_seeds
from eomtlib.study.records.kinds import Record

_SAME = ["configuration", "inference_masking", "num_images", "input_size"]
"""What evaluations of one model, over its seeds, have in common."""
_MODEL = ["dataset", "task", "input_size", "steps", "size", "pretraining", "rung", "options"]
_SHOWN = ["pq", "pq_std", "pq_things", "pq_stuff", "ap", "ap_std", "miou", "miou_std", "seeds"]
_COSTS = ["params_m", "gmacs", "fps", "label"]


def records_table(records: Iterable[Record]) -> pd.DataFrame:
    """Every model that was evaluated, over its seeds: the newest evaluation of each seed.

    Rows whose columns are alike differ in what else decides a run, such as its batch size.

    Args:
        records: of any kinds.

    Returns:
        Columns: data set, image size, steps, size, pretraining, rung, choices within it, masking at
        inference, images evaluated on; accuracies with their spread and the number of seeds; costs;
        what must be said of it.
    """
    frame = to_dataframe(records)
    if frame.empty:
        return frame
    frame = frame.drop_duplicates([*_SAME, "seed"], keep="last").fillna({"options": ""})
    order = {rung: step for step, rung in enumerate(LADDER)}
    keys = ["dataset", "input_size", "size", "pretraining", "rung", "options"]
    frame = frame.sort_values(keys, key=lambda c: c.map(order) if c.name == "rung" else c)
    figures = [name for name in ACCURACIES if name in frame and frame[name].notna().any()]
    table = over_seeds(frame, _SAME, spread_of=figures).reset_index()
    columns = [*_MODEL, "inference_masking", "num_images", *_SHOWN, *_COSTS]
    return table[[column for column in columns if column in table]]
