"""What was measured, a row for each model, beside what the papers print of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from eomtlib.core.words import ACCURACIES
from eomtlib.models.ladder import LADDER
from eomtlib.report.frame import accuracy_of, to_dataframe
from eomtlib.report.papers.printed import load_paper_table
from eomtlib.report.tables.formats import HEADINGS
from eomtlib.report.uncertainty import ALL_ROWS, differences, estimates, over_seeds
from eomtlib.study.records.kinds import Record

_SAME = ["configuration", "inference_masking", "num_images", "input_size"]
"""What evaluations of one model, over its seeds, have in common."""
_MODEL = ["dataset", "task", "input_size", "steps", "size", "pretraining", "rung", "options"]
_SHOWN = [
    "pq",
    "pq_std",
    "pq_things",
    "pq_stuff",
    "ap",
    "ap_std",
    "miou",
    "miou_std",
    "seeds",
    "without",
]
_COSTS = ["params_m", "gmacs", "fps", "label"]


def ladder_table() -> pd.DataFrame:
    """What each rung loses and why the papers ask for it."""
    rows = [
        {"step": r.step, "rung": r.name, "model": r.title, "it loses": r.loses, "why": r.why}
        for r in LADDER.values()
    ]
    return pd.DataFrame(rows).set_index("step")


def measured_table(frame: pd.DataFrame, by: Sequence[str] = ("rung",)) -> pd.DataFrame:
    """One row for each model, over its seeds.

    Args:
        frame: as ``frame.to_frame`` returns it.
        by: the columns that tell models apart.

    Returns:
        Indexed by ``by``: costs and accuracies as means, ``pq_std`` over seeds (or another task's),
        ``seeds``.
    """
    summary = over_seeds(frame, by)
    return summary[[column for column in HEADINGS if column in summary]]


def beside_paper(measured: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Column groups ``measured`` (this machine's) and ``paper``, which are never mixed.

    Args:
        measured: as ``measured_table`` returns it.
        paper: with the columns of the index, and what is printed.
    """
    keys = list(measured.index.names)
    printed = paper.set_index(keys)
    columns = [name for name in (*_COSTS, *_accuracies(measured)) if name in printed]
    return pd.concat(
        {"measured": measured, "paper": printed.reindex(measured.index)[columns]}, axis=1
    )


def ablation_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per rung, beside EoMT's Table 1."""
    return beside_paper(measured_table(frame), load_paper_table("eomt_table1_ladder"))


def with_models(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame.to_frame``'s table with a column ``model`` that is the same for EoMT's two rungs."""
    return frame.assign(model=[_model(rung) for rung in frame["rung"]])


def printed_masking() -> pd.DataFrame:
    """EoMT's Tables 7 and C, a row for each ``model``, ``masking`` and ``inference_masking``."""
    table = load_paper_table("eomt_table7_mask_annealing")
    named = table.rename(columns={"train": "masking", "inference": "inference_masking"})
    keys = ["masking", "inference_masking"]
    of_eomt = named[[*keys, "gmacs", "fps"]].assign(model=_model("eomt"), pq=named["pq_eomt"])
    # GMACs and FPS are printed for EoMT alone.
    of_m2f = named[keys].assign(model=_model("vit-adapter-m2f"), pq=named["pq_vit_adapter_m2f"])
    return pd.concat([of_eomt, of_m2f], ignore_index=True)


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


def change_table(
    frame: pd.DataFrame,
    *,
    axis: str,
    base: object | Mapping[object, object],
    within: Sequence[str] = (),
) -> pd.DataFrame:
    """What each model gains over another, paired by seed, and whether the seeds settle it.

    Args:
        frame: as ``frame.to_frame`` returns it.
        axis: the column whose values are compared.
        base: what each is compared with, as ``uncertainty.differences`` takes it.
        within: columns that must be equal in both.

    Returns:
        Columns ``within``, ``axis``, ``against``, ``PQ`` (or another task's accuracy), ``from`` and
        ``to`` (the row's 95 % interval), ``from (all rows)`` and ``to (all rows)`` (that of the
        whole table, which decides), ``seeds`` and ``what the seeds say``. No rows where nothing was
        trained.
    """
    figure = accuracy_of(frame)
    gains = differences(frame, axis=axis, base=base, within=within, metric=figure)
    found = _estimated(gains, [*within, axis, "base"])
    return _judged(found, ("better", "worse"), heading=ACCURACIES[figure])


def closing_table(
    frame: pd.DataFrame, *, axis: str, base: object, between: str, against: object
) -> pd.DataFrame:
    """What each model gains on ``base`` by another value of ``between``, paired by seed.

    Where a model lies behind ``base``, what it gains is what is closed of its gap.

    Args:
        frame: as ``frame.to_frame`` returns it.
        axis: the column whose values have the gaps, such as ``rung``.
        base: the value of it that gaps are taken to.
        between: the column that may change them, such as ``pretraining``.
        against: the value of it that the others are compared with.

    Returns:
        As ``change_table``, a row for each value of ``between`` and ``axis``: its difference to
        ``base`` less that under ``against``.
    """
    figure = accuracy_of(frame)
    gaps = differences(frame, axis=axis, base=base, within=[between], metric=figure)
    closed = differences(gaps, axis=between, base=against, within=[axis], metric="gain")
    found = _estimated(closed, [between, axis, "base"])
    return _judged(found, ("gained", "fell behind"), heading=ACCURACIES[figure])


def seeds_note(changes: pd.DataFrame, *, label: str = "") -> str:
    """One line below a table of changes: what its seeds can say at all; empty without rows.

    Args:
        changes: as ``change_table`` and ``closing_table`` return it.
        label: what else must stand there, such as a study's.
    """
    return "; ".join(text for text in (label, _of_seeds(changes)) if text)


def _model(rung: str) -> str:
    return LADDER["eomt" if rung == "eomt-masked" else rung].title


def _accuracies(measured: pd.DataFrame) -> list[str]:
    """The task's figures among the columns: that which stands for it, and those named after it."""
    figure = accuracy_of(measured)
    return [name for name in measured if name.startswith(figure)]


def _of_seeds(changes: pd.DataFrame) -> str:
    if changes.empty:
        return ""
    half = ((changes[ALL_ROWS[1]] - changes[ALL_ROWS[0]]) / 2).dropna()
    if half.empty:
        return "one seed has no interval: no difference here is settled"
    ends = " to ".join(dict.fromkeys(f"{value:.1f}" for value in (half.min(), half.max())))
    figure = next(name for name in ACCURACIES.values() if name in changes)
    return (
        f"stated is what holds for all {len(half)} rows at once (95 %); as much as these "
        f"{changes['seeds'].max()} seeds spread, a difference must exceed {ends} {figure} (by row) "
        "to be settled; intervals cover the seeds, not the choice of validation images"
    )


def _estimated(gains: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """``estimates``, without rows where none has a gain: then nothing was trained."""
    return estimates(gains if gains["gain"].notna().any() else gains[:0], by)


def _judged(found: pd.DataFrame, words: tuple[str, str], *, heading: str) -> pd.DataFrame:
    """Headed for people, with what the seeds say: one of two words where they settle it."""
    missing = found["without"] != ""
    kinds = [missing, found["seeds"] < 2, ~found["settled"].astype(bool), found["gain"] > 0]
    lacking = "not settled: no value of seed " + found["without"].astype(str)
    verdicts = np.select(
        kinds, [lacking, "one seed cannot say", "not settled", words[0]], default=words[1]
    )
    found = found.assign(**{"what the seeds say": verdicts}).reset_index()
    return found.drop(columns=["settled", "without"]).rename(
        columns={"base": "against", "gain": heading, "low": "from", "high": "to"}
        | {"low_all": ALL_ROWS[0], "high_all": ALL_ROWS[1]}
    )
