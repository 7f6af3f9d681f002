"""What a terminal shows of an evaluation: figures, classes one by one, and confusions in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from eomtlib.core.escaping import for_terminal
from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.evaluation.metrics.confusion import NOTHING, from_texts
from eomtlib.study.records.kinds import EvaluationRecord

_OWN = {"panoptic": ("pq", "PQ"), "instance": ("ap", "AP"), "semantic": ("iou", "IoU")}
_SUPPORT = {"panoptic": "segments", "instance": "instances", "semantic": "pixels"}
_MOST_CLASSES, _MOST_CONFUSIONS = 25, 12
_LONGEST_NAME = 40


def headline(task: str, metrics: Mapping[str, float | None]) -> str:
    """The task's figures in a line: ``PQ 45.12, PQ things 40.00``."""
    named = []
    for name in FIGURES[task]:
        first, *rest = name.split("_")
        label = " ".join([ACCURACIES.get(first, first.upper()), *rest])
        named.append(f"{label} {metrics[name]:.2f}")
    return ", ".join(named).replace("nan", "–")


def class_table(record: EvaluationRecord) -> pd.DataFrame:
    """A row for each class that occurs, in the images or among what was predicted; best first.

    Columns ``class``; its figure in percent, ``PQ``, ``AP`` or ``IoU``; how many ``segments``,
    ``instances`` or ``pixels`` of it the images hold; and a ``note`` where the figure is zero.
    """
    (key, figure), support = _OWN[record.task], _SUPPORT[record.task]
    rows = []
    for name, own in record.per_class.items():
        counts = pd.Series(own).reindex(["tp", "fp", "fn", "instances", "pixels", "predicted"])
        there = counts[["tp", "fn", "instances", "pixels"]].sum()
        if there or counts[["fp", "predicted"]].sum():
            note = "never found" if there else "not in these images, but predicted"
            rows.append((name, own[key], int(there), "" if own[key] > 0 else note))
    table = pd.DataFrame(rows, columns=["class", figure, support, "note"])
    return table.sort_values([figure, support], ascending=False, ignore_index=True)


def confusions(record: EvaluationRecord) -> pd.DataFrame:
    """What each class is taken for most often, besides itself; the largest share first.

    Columns ``true``, ``predicted``, ``share`` in percent of the true class's pixels, and ``pixels``
    of the true class. Empty where nobody counted.
    """
    counts, names = from_texts(record.confusion), [*record.per_class, NOTHING]
    rows = []
    for index, row in enumerate(counts[:-1]):
        others = np.where(np.arange(len(row)) == index, 0, row)
        if others.any():
            taken_for = int(others.argmax())
            share = 100 * others[taken_for] / row.sum()
            rows.append((names[index], names[taken_for], share, int(row.sum())))
    table = pd.DataFrame(rows, columns=["true", "predicted", "share", "pixels"])
    return table.sort_values(["share", "pixels"], ascending=False, ignore_index=True)


def class_lines(record: EvaluationRecord, *, rest: str) -> list[str]:
    """The best and the worst classes as a table, and the largest confusions in words.

    Args:
        record: of the evaluation.
        rest: where the classes are that are too many for a screen.
    """
    table = class_table(record)
    figure, support = table.columns[1:3]
    names = _aligned(pd.concat([pd.Series(["class"]), table["class"].map(_short)]))
    shown = pd.DataFrame(
        {
            names.iloc[0]: names.iloc[1:].to_numpy(),
            f" {figure}": table[figure].map("{:.1f}".format),
            f" {support}": table[support].map("{:,}".format),
            "": _aligned(" " + table["note"]),
        }
    )
    text = shown.to_string(index=False) if len(shown) else "no class occurs"
    lines = [line.rstrip() for line in text.splitlines()]
    if (left_out := len(table) - _MOST_CLASSES) > 0:
        best = 1 + _MOST_CLASSES // 2
        lines[best : best + left_out] = [f"... {left_out} classes between: {rest}"]
    taken = confusions(record)
    if len(taken):
        lines += ["", "Taken for another class, by share of the true class's pixels:"]
        pairs = taken["true"].map(_short) + " → " + taken["predicted"].map(_short)
        numbers = zip(_aligned(pairs), taken["share"], taken["pixels"], strict=True)
        every = [f"  {pair} {share:5.1f} % of {pixels:,} pixels" for pair, share, pixels in numbers]
        lines += every[:_MOST_CONFUSIONS]
        if len(every) > _MOST_CONFUSIONS:
            lines.append(f"  ... and of {len(every) - _MOST_CONFUSIONS} more classes less")
    return lines


def never_found(record: EvaluationRecord) -> str:
    """How many classes were never found, and which: one line for a run among many."""
    table = class_table(record)
    missed = table["class"][table["note"] == "never found"].map(_short).tolist()
    if not missed:
        return f"each of {len(table)} classes was found"
    names = ", ".join(missed[:5]) + (", ..." if len(missed) > 5 else "")
    return f"{len(missed)} of {len(table)} classes never found: {names}"


def _short(name: str) -> str:
    name = for_terminal(name)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _aligned(texts: pd.Series) -> pd.Series:
    """As wide as the widest; what pandas prints is on the right."""
    return texts.str.ljust(texts.str.len().max()) if len(texts) else texts
