"""Figures that a text quotes, derived from the gallery's records.

Between ``<!-- figures: NAME -->`` and ``<!-- end -->``, which no reader sees, stands what the
function of that name in ``QUOTED`` makes of the gallery's study. To add one, write a function in
``sayings`` from runs to Markdown, and its name there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from eomtlib.core.code_digest import code_digest
from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.words import SHIPPED
from eomtlib.report.quoted import sayings
from eomtlib.report.quoted.runs import FIRST, LAST, Chosen, all_ways, both_sizes, newest
from eomtlib.study.parameters.defaults import embedded_defaults
from eomtlib.study.records.kinds import EvaluationRecord, Record, TimingRecord, TrainingRecord
from eomtlib.study.runs.identity import METHODS

_REGION = re.compile(
    r"(<!-- figures: ([^\n]*?) -->\n)((?:(?!<!-- figures:).)*?)(<!-- end -->)", re.DOTALL
)


def quote(text: str, gallery: Path) -> str:
    """A Markdown text with its regions of figures as the gallery's records have them.

    Each is of the results folder that was trained last among those that have every rung. It ends
    with the commits that were measured, and says where the code has changed since.

    Args:
        text: may have no region.
        gallery: a folder of results folders.

    Raises:
        ConfigurationError: for a name that is not known, a region without an end, or where the
            gallery does not have what is asked for.
    """
    if len(_REGION.findall(text)) != text.count("<!-- figures:"):
        raise ConfigurationError("A line <!-- figures: NAME --> has no <!-- end --> behind it.")

    def written(region: re.Match[str]) -> str:
        start, name, _, end = region.groups()
        say, chosen = QUOTED[check_choice("figures", name, QUOTED)]
        runs, used = chosen(gallery)
        return f"{start}{say(runs, used)}\n\n<sub>{_measured_at(used)}</sub>\n{end}"

    return _REGION.sub(written, text)


QUOTED: dict[
    str, tuple[Callable[[pd.DataFrame, Sequence[Record]], str], Callable[[Path], Chosen]]
] = {
    "headline": (sayings.headline, newest),
    "default": (
        sayings.shorter,
        partial(newest, duration=embedded_defaults("nano", "cpu").duration),
    ),
    "ladder": (sayings.ladder, newest),
    "spread": (sayings.spread, newest),
    "pretraining": (
        sayings.pretraining,
        partial(newest, pretrainings=["none", SHIPPED], rungs=[FIRST, LAST]),
    ),
    "larger": (sayings.larger, both_sizes),
    "claims": (sayings.claims, all_ways),
}
"""Name of a region → what writes it, and which of the gallery's runs it is written from."""


def _measured_at(used: Sequence[Record]) -> str:
    """The commits that were trained, and whether the code is still what it was."""
    trainings = [record for record in used if isinstance(record, TrainingRecord)]
    commits = [(r.environment.commit or "an unknown commit").split("-") for r in trainings]
    short = dict.fromkeys("-".join([digits[:7], *dirty]) for digits, *dirty in commits)
    is_same = all(r.code == code_digest() and r.methods == METHODS for r in trainings) and all(
        _methods(record).items() <= METHODS.items() for record in used
    )
    return f"measured at {', '.join(short)}" + ("" if is_same else "; the code has changed since")


def _methods(record: Record) -> dict[str, int]:
    if isinstance(record, EvaluationRecord):
        return {"evaluation": record.method, "post_processing": record.post_processing}
    return {"timing": record.method} if isinstance(record, TimingRecord) else {}
