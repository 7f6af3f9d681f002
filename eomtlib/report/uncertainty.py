"""What several seeds say: means, spreads, and differences paired by seed with their intervals.

Two models trained from one seed see the same images in the same order, so that the difference
between them is taken seed by seed; its interval is Student's at 95 %. Of a table of several, one in
twenty would leave zero out where nothing differs; so beside it stands a wider one (Bonferroni's),
which holds for all rows at once, and a difference is stated only where that leaves zero out.
Intervals cover the seeds, not the choice of the validation images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from scipy import stats

from eomtlib.report.frame import accuracy_of

CONFIDENCE = 0.95
ALL_ROWS = ("from (all rows)", "to (all rows)")
"""The ends of the interval that holds for all rows of a table of changes at once."""


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
        how many rows have one of ``spread_of``. Where some row has none although others do, as
        after a training that diverged, ``without`` names its seed.
    """
    spread_of = spread_of or [accuracy_of(frame)]
    groups = frame.groupby(list(by), sort=False, dropna=False)
    kinds = {
        column: "mean" if pd.api.types.is_numeric_dtype(frame[column]) else "first"
        for column in frame
        if column not in by
    }
    summary = groups.agg(kinds)
    for column in spread_of:
        place = summary.columns.get_loc(column) + 1
        summary.insert(place, f"{column}_std", groups[column].std(ddof=1))
    has_none = frame[list(spread_of)].isna().all(axis=1)
    summary["seeds"] = groups[list(spread_of)].count().max(axis=1)
    if has_none.any() and not has_none.all():
        named = frame["seed"].where(has_none)
        keys = [frame[column] for column in by]
        summary["without"] = named.groupby(keys, sort=False, dropna=False).agg(_named)
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
    """The rows of ``differences`` over seeds, which are taken to be all that one table states.

    Args:
        gains: as ``differences`` returns them.
        by: columns that tell the differences apart.

    Returns:
        ``gain``, the mean; ``low`` to ``high``, its own 95 % interval; ``low_all`` to ``high_all``,
        that of all rows at once; NaN from one seed, which has none. ``seeds`` that have a gain,
        and ``without``, the names of those that have none. ``settled`` where the interval of all
        rows leaves zero out and no seed is without.
    """
    groups = gains.groupby(list(by), sort=False)["gain"]
    found = groups.agg(["mean", "std", "count"])
    mean, seeds = found["mean"], found["count"]
    error = found["std"] / seeds**0.5
    rows = max(1, (seeds > 1).sum())
    own, of_all = (stats.t.isf((1 - CONFIDENCE) / 2 / n, seeds - 1) * error for n in (1, rows))
    ends = {"low": mean - own, "high": mean + own}
    ends |= {"low_all": mean - of_all, "high_all": mean + of_all}
    seed = gains["seed"].where(gains["gain"].isna())
    without = seed.groupby([gains[column] for column in by], sort=False).agg(_named)
    settled = ((ends["low_all"] > 0) | (ends["high_all"] < 0)) & (without == "")
    return pd.DataFrame(
        {"gain": mean, **ends, "seeds": seeds, "without": without, "settled": settled}
    )


def seeds_needed(spread: float, *, points: float = 1.0, rows: int = 1, power: float = 0.8) -> int:
    """How many seeds would settle a difference, by the rule of ``estimates``.

    Args:
        spread: standard deviation of the difference, paired by seed.
        points: the true difference, in units of ``spread``.
        rows: differences that one table states.
        power: the share of studies of so many seeds that settle it.

    Returns:
        The smallest number, by the noncentral t distribution; at most 10,000.
    """
    for seeds in range(2, 10_000):
        most = stats.t.isf((1 - CONFIDENCE) / 2 / rows, seeds - 1)
        if spread <= 0 or stats.nct.sf(most, seeds - 1, points * seeds**0.5 / spread) >= power:
            return seeds
    return 10_000


def pooled_spread(frame: pd.DataFrame, by: Sequence[str], *, of: str) -> tuple[float, int]:
    """Standard deviation over seeds, pooled over groups, and how many seeds went into it.

    Args:
        frame: one row for each run.
        by: columns that tell groups apart; those of one seed say nothing.
        of: the column whose spread is taken.

    Returns:
        NaN and 0 where no group has two seeds.
    """
    groups = frame.dropna(subset=[of]).groupby(list(by), dropna=False)[of]
    variance, count = groups.var(ddof=1), groups.count()
    variance, count = variance[count > 1], count[count > 1]
    if count.empty:
        return float("nan"), 0
    return float((variance * (count - 1)).sum() / (count - 1).sum()) ** 0.5, int(count.sum())


def _named(seeds: pd.Series) -> str:
    return ", ".join(str(int(seed)) for seed in seeds.dropna().unique())
