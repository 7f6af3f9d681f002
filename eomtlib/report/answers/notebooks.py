"""What each notebook asks, and what was measured says to it."""

from __future__ import annotations

import pandas as pd

from eomtlib.models.ladder import LADDER
from eomtlib.report.answers.answer import Answer
from eomtlib.report.answers.effects import effect_sentences, spread_elsewhere
from eomtlib.report.answers.outlook import next_steps, short_sentences
from eomtlib.report.frame import accuracy_of
from eomtlib.report.leading import says_something
from eomtlib.report.tables import change_table
from eomtlib.study.parameter_cell import ParameterCell
from eomtlib.study.study import Study

_SEEDS = (
    "Intervals are of 95 %, hold for all differences of one table at once, and cover the seeds, "
    "not the choice of validation images."
)


def study_answer(
    question: str,
    study: Study,
    frame: pd.DataFrame,
    *changes: pd.DataFrame,
    first: tuple[str, ...] = (),
    cell: ParameterCell | None = None,
) -> Answer:
    """The answer of a study: its speed, what its seeds settle, what is open.

    Args:
        question: of the notebook.
        study: that was run.
        frame: as ``frame.to_frame`` returns it.
        changes: tables of ``tables.change_table`` or ``closing_table``, a sentence or more each.
        first: sentences that come before those.
        cell: what was asked for, for the commands that would tell more.
    """
    doubts: tuple[str, ...] = ()
    if not frame[accuracy_of(frame)].notna().any():
        said = ["Nothing was trained, so that nothing can be said of accuracy."]
    elif not says_something(study, frame):
        said = short_sentences(study, frame)
    else:
        said = [text for table in changes for text in effect_sentences(table)]
        if max((table["seeds"].max() for table in changes if len(table)), default=0) > 1:
            doubts = (_SEEDS,)
        else:
            said.append("One seed cannot say whether such differences are real.")
            said.append(spread_elsewhere(study))
    return Answer(
        question=question,
        sentences=(*first, *said),
        doubts=doubts,
        next_steps=next_steps(study, frame, cell),
    )


def ablation_answer(
    study: Study, frame: pd.DataFrame, *, cell: ParameterCell | None = None
) -> Answer:
    """Does a segmentation model need more than a ViT?

    Args:
        study: of several rungs that was run.
        frame: as ``frame.to_frame`` returns it.
        cell: as ``study_answer`` takes it.
    """
    whole = change_table(frame, axis="rung", base={"eomt": "vit-adapter-m2f"})
    steps = change_table(frame, axis="rung", base=steps_of(frame))
    return study_answer(
        "Does a segmentation model need more than a ViT?",
        study,
        frame,
        whole,
        steps,
        first=tuple(speed_sentences(frame)),
        cell=cell,
    )


def steps_of(frame: pd.DataFrame) -> dict[str, str]:
    """Rung → the one before it among those of a frame."""
    chosen = list(dict.fromkeys(frame["rung"]))
    return dict(zip(chosen[1:], chosen, strict=False))


def speed_sentences(frame: pd.DataFrame, *, by: str = "size") -> list[str]:
    """How much faster EoMT is than ViT-Adapter + Mask2Former, for each value of ``by``."""
    said = []
    for value, part in frame.groupby(by, sort=False):
        fps = part.groupby("rung")["fps"].first()
        if not {"eomt", "vit-adapter-m2f"} <= set(fps.index):
            continue
        ours, theirs = fps["eomt"], fps["vit-adapter-m2f"]
        params = part.groupby("rung")["params_m"].first()
        share = 100 * params["eomt"] / params["vit-adapter-m2f"]
        said.append(
            f"EoMT runs {ours / theirs:.1f} times as fast as {LADDER['vit-adapter-m2f'].title} "
            f"here ({value}: {ours:.3g} against {theirs:.3g} images a second), with {share:.0f} % "
            "of its parameters."
        )
    return said
