"""Differences as sentences: those that the seeds settle, and what is open and why."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd
from scipy import stats

from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.models.ladder import LADDER
from eomtlib.report.frame import to_dataframe
from eomtlib.report.papers.filling import read_records
from eomtlib.report.papers.printed import paper_dir
from eomtlib.report.uncertainty import ALL_ROWS, CONFIDENCE, pooled_spread, seeds_needed
from eomtlib.study.records.kinds import Record
from eomtlib.study.study import Study

SETTLED = ("better", "worse", "gained", "fell behind")
"""What the seeds say of a difference that is stated."""
_SPELLED = {"lr": "learning rate"}


def effect_sentences(changes: pd.DataFrame, *, most: int = 4) -> list[str]:
    """Sentences for a table of changes: one for each difference that is settled, one for the rest.

    Args:
        changes: as ``tables.change_table`` and ``closing_table`` return it.
        most: settled differences in a sentence each; the smaller ones are left to the table.

    Returns:
        No sentence without rows.
    """
    if changes.empty:
        return []
    is_settled = changes["what the seeds say"].isin(SETTLED)
    settled, open_ = changes[is_settled], changes[~is_settled]
    largest = settled[heading(changes)].abs().nlargest(most).index
    said = [_stated(row) for _, row in settled.loc[settled.index.isin(largest)].iterrows()]
    if len(left := settled.drop(largest)):
        said.append(f"{len(left)} smaller differences are settled as well (table below).")
    return said + ([_open(open_, changes)] if len(open_) else [])


def heading(changes: pd.DataFrame | pd.Series) -> str:
    """The column, or the entry of a row, that holds what was gained: ``PQ``, ``AP``, ``mIoU``."""
    return next(name for name in ACCURACIES.values() if name in changes)


def named(axis: str, value: object) -> str:
    """A value of an axis as sentences call it."""
    if value in LADDER:
        return LADDER[value].title
    if axis in ("rung", "model", "way"):
        return str(value)
    return f"{_SPELLED.get(axis, axis.replace('_', ' '))} {value}"


def spread_elsewhere(study: Study) -> str:
    """What is known of the spread over seeds where a study has one: a clause for a sentence.

    Looked for among the records of its results folder, then of the gallery's: other seeds of
    trainings on the same data, of the same size and length. Two independent trainings differ by √2
    times as much as one.
    """
    figure = ACCURACIES[FIGURES[study.settings.task][0]]
    known, count, where = known_spread(study)
    if not count:
        return "No spread over seeds is known for these settings; three seeds would give a first."
    needed = seeds_needed(2**0.5 * known)
    return (
        f"With the spread of {known:.1f} {figure} that {count} trainings of these settings have "
        f"({where}), about {needed} seeds would settle a difference of one point."
    )


def known_spread(study: Study) -> tuple[float, int, str]:
    """Standard deviation over seeds in points, from how many trainings, and where they lie."""
    gallery = paper_dir().parent / "gallery"
    for folder, where in ((study.results_dir, "in results_dir"), (gallery, "in the gallery")):
        found = _alike(read_records([folder]), study) if folder.is_dir() else pd.DataFrame()
        if len(found):
            spread, count = pooled_spread(
                found, ["configuration", "inference_masking"], of=FIGURES[study.settings.task][0]
            )
            if count:
                return spread, count, where
    return float("nan"), 0, ""


def _alike(records: Sequence[Record], study: Study) -> pd.DataFrame:
    """Evaluations of the study's settings, a row for each seed."""
    frame, s = to_dataframe(records), study.settings
    same = {"dataset": s.dataset, "task": s.task, "size": s.size, "pretraining": s.pretraining}
    same |= {"input_size": "{}x{}".format(*s.image_size), "batch_size": s.batch_size}
    if s.duration.endswith("steps"):
        same["steps"] = int(s.duration.removesuffix("steps"))
    for name, value in same.items():
        frame = frame[frame[name] == value]
    return frame.drop_duplicates(["configuration", "inference_masking", "seed"], keep="last")


def _stated(row: pd.Series) -> str:
    gain, ends = row[heading(row)], sorted(abs(row[list(ALL_ROWS)].astype(float)))
    figure = heading(row)
    within, axis = _axes(row)
    between = f"({ends[0]:.1f} to {ends[1]:.1f})"
    if _is_closing(row, axis):
        verb = "closes" if gain > 0 else "widens"
        return (
            f"With {_where(row, within)}, the gap of {named(axis, row[axis])} {verb} by "
            f"{abs(gain):.1f} {figure} {between} compared with {named(within[0], row['against'])}."
        )
    where = f"{_where(row, within)}: " if within else ""
    verb = "gains" if gain > 0 else "loses"
    beside = "" if _is_step(row, axis) else f" against {named(axis, row['against'])}"
    subject = f"giving up {_subject(row, axis)}" if _is_step(row, axis) else _subject(row, axis)
    subject = subject if where else subject[0].upper() + subject[1:]
    return f"{where}{subject} {verb} {abs(gain):.1f} {figure} {between}{beside}."


def _open(rows: pd.DataFrame, changes: pd.DataFrame) -> str:
    """What is not settled, how large it looks, and what would settle it."""
    seeds, figure = int(changes["seeds"].max()), heading(changes)
    within, axis = _axes(rows.iloc[0])
    every = len(rows) == len(changes)
    names = [
        _subject(row, axis) + (f" ({_where(row, within)})" if within else "")
        for _, row in rows.iterrows()
    ]
    against = list(dict.fromkeys(rows["against"]))
    is_steps = all(_is_step(row, axis) for _, row in rows.iterrows())
    beside = f" against {named(axis, against[0])}" if len(against) == 1 else ""
    beside = " by giving up" if is_steps else beside
    if _is_closing(rows.iloc[0], axis):
        beside = f" in how far a gap closes compared with {named(within[0], against[0])}"
    gains = [f"{gain:+.1f}".replace("-", "−") for gain in rows[figure]]
    seen = ", ".join(" ".join(pair) for pair in zip(names, gains, strict=True))
    if seeds < 2:
        return f"Seen{beside}: {seen} {figure}."
    half = ((rows[ALL_ROWS[1]] - rows[ALL_ROWS[0]]) / 2).astype(float)
    low, high = rows[ALL_ROWS[0]].min(), rows[ALL_ROWS[1]].max()
    spread = _paired_spread(rows)
    needed = seeds_needed(spread, rows=max(1, len(changes)))
    start = f"{seeds} seeds settle no difference" if every else f"Not settled by {seeds} seeds"
    ends = f"from {low:+.1f} to {high:+.1f}".replace("-", "−")
    said = f"{start}{beside}: {seen} {figure} (each could be {ends})."
    if half.isna().all():
        return said
    return (
        f"{said} Differences spread by {spread:.1f} over seeds: about {needed} would settle one "
        "point."
    )


def _is_step(row: pd.Series, axis: str) -> bool:
    """Whether a rung is compared with the one above it, so that one component is between them."""
    both = [LADDER.get(row[name]) for name in (axis, "against")] if axis == "rung" else [None]
    return None not in both and both[0].step == both[1].step + 1


def _is_closing(row: pd.Series, axis: str) -> bool:
    """Whether it is of ``closing_table``, whose rungs are compared under two values of another."""
    return axis == "rung" and row["against"] not in LADDER


def _subject(row: pd.Series, axis: str) -> str:
    """What was changed: a value, or the component that a step of the ladder takes away."""
    if _is_step(row, axis):
        return re.split("[;:,]", LADDER[row[axis]].loses)[0]
    return named(axis, row[axis])


def _paired_spread(rows: pd.DataFrame) -> float:
    """Standard deviation of the differences, from their own intervals, pooled over rows."""
    found = rows[rows["seeds"] > 1]
    reach = stats.t.isf((1 - CONFIDENCE) / 2, found["seeds"].astype(float) - 1)
    own = (found["to"] - found["from"]).astype(float) / 2 / reach * found["seeds"] ** 0.5
    return float((own**2).mean() ** 0.5)


def _axes(row: pd.Series) -> tuple[list[str], str]:
    """What must be equal in both, and what is compared: the columns before ``against``."""
    *within, axis = list(row.index)[: list(row.index).index("against")]
    return within, axis


def _where(row: pd.Series, within: Sequence[str]) -> str:
    return ", ".join(named(name, row[name]) for name in within)
