"""What several seeds say: means, spreads, and differences paired by seed with their intervals.

Two models trained from one seed see the same images in the same order, so that the difference
between them is taken seed by seed; its interval is Student's at 95 %. Of a table of several, one in
twenty such intervals leaves zero out by chance: a difference is stated where Bonferroni's, which
hold all of a table together at 95 %, leave zero out. Intervals cover seeds, not images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from scipy import stats

from eomtlib.report.frame import accuracy_of

CONFIDENCE = 0.95


def over_seeds(
    frame: pd.DataFrame, by: Sequence[str], *, spread_of: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row for each combination of ``by``, in the order in which they come.

    Args:
        frame: one row for each seed.
        by: columns that tell rows apart.
        spread_of: columns whose standard deviation over seeds is added, as ``pq_std``; NaN from
            one seed. By default the task's accuracy.

    Returns:
        Indexed by ``by``: numbers as means, anything else as the first row has it, and ``seeds``,
        how many rows have one of ``spread_of``.
    """
    spread_of = spread_of or [accuracy_of(frame)]
    groups = frame.groupby(list(by), sort=False, dropna=False)
    kinds = {
        column: "mean" if pd.api.types.is_numeric_dtype(frame[column]) else "first"
        for column in frame
        if column not in by
    }
    summary = groups.agg(kinds)
    trained = frame["steps"].notna() if "steps" in frame else pd.Series(True, frame.index)
    for column in spread_of:
        # A mean without the seeds that diverged would flatter.
        odd = (frame[column].isna() & trained).groupby(groups.ngroup(), sort=False).any()
        summary[column] = summary[column].mask(odd.to_numpy())
        place = summary.columns.get_loc(column) + 1
        summary.insert(place, f"{column}_std", groups[column].std(ddof=1))
    summary["seeds"] = groups[list(spread_of)].count().max(axis=1)
    return summary


def differences(
    frame: pd.DataFrame,
    *,
    axis: str,
    base: object,
    within: Sequence[str] = (),
    metric: str = "pq",
) -> pd.DataFrame:
    """What a value of ``axis`` gains over ``base``, seed by seed.

    Args:
        frame: one row for each run, with a column ``seed``.
        axis: the column whose values are compared.
        base: the value that the others are compared with; or a mapping from a value to the one it
            is compared with, such as each rung to the one before it.
        within: columns that must be equal in both.
        metric: the column whose difference is taken.

    Returns:
        A row for each pair that has a run: ``within``, ``axis``, ``base``, ``seed`` and ``gain``.
    """
    keys = [*within, "seed"]
    values = frame.set_index([*keys, axis])[metric]
    if not values.index.is_unique:
        raise ValueError(f"several runs have the same {', '.join([*keys, axis])}")
    rows = []
    for (*shared, own), value in values.items():
        other = base.get(own) if isinstance(base, Mapping) else base
        if other is not None and other != own and (*shared, other) in values.index:
            rows.append((*shared, own, other, value - values.loc[(*shared, other)]))
    return pd.DataFrame(rows, columns=[*keys, axis, "base", "gain"]).astype({"gain": float})


def estimates(gains: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The rows of ``differences`` over seeds.

    ``gain`` is the mean, from ``low`` to ``high`` goes its 95 % interval, and from ``all_low`` to
    ``all_high`` one of those that hold all rows together at 95 %: NaN from one seed, which has
    none. It is ``settled`` where the latter leaves zero out. ``seeds`` is their number, and
    ``diverged`` names those without a figure; where there are any, no mean is taken.

    Args:
        gains: as ``differences`` returns them.
        by: columns that tell the differences apart.
    """
    groups = gains.groupby(list(by), sort=False)
    found = groups["gain"].agg(["mean", "std", "size"])
    diverged = gains[gains["gain"].isna()].groupby(list(by), sort=False)["seed"]
    diverged = diverged.agg(lambda own: ", ".join(map(str, own))).reindex(
        found.index, fill_value=""
    )
    mean, seeds = found["mean"].where(diverged == ""), found["size"]
    ends = {}
    for name, together in (("", 1), ("all_", _compared(seeds))):
        half = _factor(seeds, together) * found["std"]
        ends |= {f"{name}low": mean - half, f"{name}high": mean + half}
    settled = (ends["all_low"] > 0) | (ends["all_high"] < 0)
    judged = {"seeds": seeds, "diverged": diverged, "settled": settled}
    return pd.DataFrame({"gain": mean, **ends, **judged})


def what_seeds_can_say(found: pd.DataFrame) -> str:
    """A sentence on the smallest difference that a table of ``estimates`` could have settled."""
    seeds, together = int(found["seeds"].max()) if len(found) else 0, _compared(found["seeds"])
    if seeds < 2:
        return "One seed settles no difference."
    spread = _factor(seeds, together)
    return (
        f"{seeds} seeds settle a difference of {spread:.1f} of its standard deviations or more, "
        f"{together} compared together at {CONFIDENCE:.0%} (one alone: {_factor(seeds, 1):.1f}). "
        "Intervals cover seeds, not images."
    )


def _compared(seeds: pd.Series) -> int:
    """How many differences have an interval at all."""
    return max(1, int((seeds > 1).sum()))


def _factor(seeds: pd.Series | int, together: int) -> pd.Series | float:
    """Half an interval's width in standard deviations, of so many that hold together."""
    quantile = 1 - (1 - CONFIDENCE) / (2 * together)
    return stats.t.ppf(quantile, seeds - 1) / seeds**0.5
