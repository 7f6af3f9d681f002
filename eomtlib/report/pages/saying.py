"""What leads a report where records alone are there: the answer, and the plot."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from eomtlib.core.words import ACCURACIES
from eomtlib.models.ladder import LADDER
from eomtlib.report.answers.answer import Answer
from eomtlib.report.answers.effects import effect_sentences
from eomtlib.report.answers.notebooks import speed_sentences, steps_of
from eomtlib.report.frame import accuracy_of
from eomtlib.report.leading import Leading
from eomtlib.report.tables import change_table, measured_table, seeds_note
from eomtlib.report.tables.speed import accuracy_beside_speed
from eomtlib.report.timings import said_of
from eomtlib.study.records.kinds import TimingRecord


def recorded_answer(frame: pd.DataFrame, *, label: str) -> Answer:
    """What the seeds settle, of the ladder or of what was varied.

    Args:
        frame: of ``template_values.model_frame``.
        label: what must stand beside accuracies; not empty where they say nothing yet.
    """
    figure = accuracy_of(frame)
    is_ladder = frame["model"].nunique() == frame["rung"].nunique() > 1
    said = speed_sentences(frame) if is_ladder and "fps" in frame else []
    doubts: tuple[str, ...] = ()
    if frame[figure].isna().all():
        said.append("Nothing was trained, so that nothing can be said of accuracy.")
    elif label:
        said.append(f"{ACCURACIES[figure]} says nothing yet: {label}.")
    elif frame["model"].nunique() == 1:
        said.append(f"{ACCURACIES[figure]} {frame[figure].mean():.1f}, as measured here.")
    else:
        bases = ({"eomt": "vit-adapter-m2f"}, steps_of(frame)) if is_ladder else ()
        changes = [change_table(frame, axis="rung", base=base) for base in bases] or [
            change_table(frame, axis="model", base=frame["model"].iloc[0])
        ]
        said += [sentence for table in changes for sentence in effect_sentences(table)]
        if frame["seed"].nunique() > 1:
            doubts = (seeds_note(changes[-1]),)
        else:
            said.append("One seed cannot say whether such differences are real.")
    titles = " and ".join(LADDER[rung].title for rung in dict.fromkeys(frame["rung"]))
    asked = f"What do the choices made in {titles} change?"
    if is_ladder:
        asked = "Does a segmentation model need more than a ViT?"
    elif frame["model"].nunique() == 1:
        asked = f"How good is {titles}?"
    return Answer(question=asked, sentences=tuple(said), doubts=doubts)


def recorded_leading(
    frame: pd.DataFrame, timings: Sequence[TimingRecord], *, label: str
) -> Leading:
    """As ``leading.leading`` chooses it for a study.

    Args:
        frame: of ``template_values.model_frame``.
        timings: of the same models.
        label: as for ``recorded_answer``.
    """
    figure = ACCURACIES[accuracy_of(frame)]
    points, kind = measured_table(frame, ["model", "rung"]).reset_index(), "measured"
    title = f"{figure} and speed, both measured here"
    if label or points[accuracy_of(frame)].isna().all():
        printed = accuracy_beside_speed(timings)
        kind, title = "speed", "Speed measured here"
        if len(printed):
            points, kind = printed, "printed"
            title = "PQ as printed (COCO), FPS measured here"
    note = "; ".join(text for text in said_of(timings) if text)
    return Leading(kind=kind, points=points, along=None, title=title, subtitle="", note=note)
