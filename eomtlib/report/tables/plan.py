"""What a study is about to do, as models × settings."""

from __future__ import annotations

from typing import Any

import pandas as pd

from eomtlib.models.ladder import LADDER
from eomtlib.study.planning import Plan, format_seconds

_VERBS = {"training": "train", "evaluation": "evaluate", "timing": "time"}
_TOLD = ("steps", "GMACs at training size", "finished", "about", "seconds")


def plan_grid(plan: Plan) -> pd.DataFrame:
    """A row for each model, a column for each setting: what is left to do, and how long it takes.

    Settings are what all runs state beside the rung; seeds share a cell.

    Args:
        plan: of a study.
    """
    table = plan.table
    names = [name for name in table if name not in (*_TOLD, "rung", "seed")]
    shared = [name for name in names if table[name].notna().all()]
    own = [name for name in names if name not in shared]
    told = table.assign(
        model=[", ".join([LADDER[row["rung"]].title, *_named(row, own)]) for row in _rows(table)],
        setting=[", ".join(_named(row, shared)) or "to do" for row in _rows(table)],
    )
    cells = {name: _cell(group) for name, group in told.groupby(["model", "setting"], sort=False)}
    grid = pd.Series(cells).unstack().fillna("–")
    order = told["model"].unique(), told["setting"].unique()
    return grid.reindex(index=order[0], columns=order[1]).rename_axis("model").reset_index()


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.to_dict("records")


def _named(row: dict[str, Any], names: list[str]) -> list[str]:
    """Numbers without the decimals that pandas gives them beside empty cells."""
    values = {name: row[name] for name in names if not pd.isna(row[name])}
    whole = {n: int(v) if isinstance(v, float) and v.is_integer() else v for n, v in values.items()}
    return [f"{name.replace('_', ' ')} {value}" for name, value in whole.items()]


def _cell(runs: pd.DataFrame) -> str:
    """``train, evaluate, time 3 seeds: 9 min``."""
    kinds = [k for k in _VERBS if k == "timing" or runs["steps"].max() > 0]
    left = [[k for k in kinds if k not in finished] for finished in runs["finished"]]
    verbs = [verb for kind, verb in _VERBS.items() if any(kind in some for some in left)]
    if not verbs:
        return "done"
    count = sum(map(bool, left))
    seeds = f" {count} seeds" if count > 1 else ""
    return f"{', '.join(verbs)}{seeds}: {format_seconds(runs['seconds'].sum())}"
