"""What each notebook asks, and what was measured says to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from eomtlib.core.words import PAPER_SIZES
from eomtlib.models.ladder import LADDER
from eomtlib.report.answers.answer import Answer
from eomtlib.report.answers.effects import effect_sentences, spread_elsewhere
from eomtlib.report.answers.outlook import next_steps, short_sentences
from eomtlib.report.frame import accuracy_of
from eomtlib.report.leading import says_something
from eomtlib.report.papers.printed import load_paper_table
from eomtlib.report.tables import change_table, closing_table, effects
from eomtlib.study.parameters.parameter_cell import ParameterCell
from eomtlib.study.study import Study

BASELINE = "vit-adapter-m2f"
"""The rung that all others are to be compared with."""

MASKED, ANNEALED = "masked, run masked", "annealed, run unmasked"
"""Ways of training and running of ``masking_answer``: the reference, and the papers' choice."""

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
    whole = change_table(frame, axis="rung", base={"eomt": BASELINE})
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


def gap_answer(
    question: str,
    study: Study,
    frame: pd.DataFrame,
    *,
    between: str,
    cell: ParameterCell | None = None,
) -> Answer:
    """Whether what lies behind ViT-Adapter + Mask2Former catches up by a pretraining or a size.

    Args:
        question: of the notebook.
        study: of several rungs under several values of ``between`` that was run.
        frame: as ``frame.to_frame`` returns it.
        between: ``pretraining`` or ``size``; its first value is what others are compared with.
        cell: as ``study_answer`` takes it.
    """
    first = frame[between].iloc[0]
    closed = closing_table(frame, axis="rung", base=BASELINE, between=between, against=first)
    gaps = change_table(frame, axis="rung", base={"eomt": BASELINE}, within=[between])
    speeds = tuple(speed_sentences(frame, by=between)) if between == "size" else ()
    return study_answer(question, study, frame, gaps, closed, first=speeds, cell=cell)


def masking_answer(
    study: Study, frame: pd.DataFrame, *, cell: ParameterCell | None = None
) -> Answer:
    """Can the masks be taken away once training is done?

    Args:
        study: of ``questions.masking_points`` that was run.
        frame: as ``frame.to_frame`` returns it, with the columns ``model`` and ``way``.
        cell: as ``study_answer`` takes it.
    """
    said = []
    for model, part in frame.groupby("model", sort=False):
        fps = part.groupby("way")["fps"].first()
        if {MASKED, ANNEALED} <= set(fps.index):
            if not _in_turns(part[part["way"].isin([MASKED, ANNEALED])]):
                said.append(f"{model} was timed with masks and without at different times.")
                continue
            said.append(
                f"{model} runs {fps[ANNEALED] / fps[MASKED]:.1f} times as fast without masks as "
                f"with them ({fps[ANNEALED]:.3g} against {fps[MASKED]:.3g} images a second)."
            )
    changes = change_table(frame, axis="way", base=MASKED, within=["model"])
    return study_answer(
        "Can the masks be taken away once training is done?",
        study,
        frame,
        changes,
        first=tuple(said),
        cell=cell,
    )


def frozen_answer(
    study: Study,
    frame: pd.DataFrame,
    *,
    shared: pd.DataFrame,
    cell: ParameterCell | None = None,
) -> Answer:
    """Must the ViT be trained at all?

    Args:
        study: of ``questions.frozen_points`` that was run.
        frame: as ``frame.to_frame`` returns it, with the columns ``model`` and ``encoder``.
        shared: as ``tables.speed.shared_encoder_table`` returns it.
        cell: as ``study_answer`` takes it.
    """
    by_rung = change_table(
        frame[frame["encoder"] != ""], axis="encoder", base="trained", within=["rung"]
    )
    most = shared.iloc[-1]
    said = (
        f"{most['decoders']:.0f} decoders on one frozen encoder take {most['ms shared']:.3g} ms an "
        f"image, on encoders of their own {most['ms apart']:.3g} ms: {most['times as fast']:.1f} "
        "times as fast.",
    )
    return study_answer(
        "Must the ViT be trained at all?", study, frame, by_rung, first=said, cell=cell
    )


def own_answer(
    study: Study,
    frame: pd.DataFrame,
    factors: Sequence[str],
    *,
    cell: ParameterCell | None = None,
) -> Answer:
    """What the values of what was varied are worth, each against the first.

    Args:
        study: that was run or learnt.
        frame: as ``frame.to_frame`` or ``frame.accuracies`` returns it.
        factors: what was varied, at least one.
        cell: as ``study_answer`` takes it.
    """
    found = list(effects(frame, factors).values())
    answer = study_answer(
        f"What are the values of {' and '.join(factors)} worth?", study, frame, *found, cell=cell
    )
    # Whoever varies something may do so in short trainings, which are compared with each other.
    said = [text for table in found for text in effect_sentences(table)]
    if study.label and said:
        return replace(answer, sentences=tuple(said), doubts=(f"All this is of {study.label}.",))
    return answer


def speed_answer(table: pd.DataFrame, *, cell: ParameterCell) -> Answer:
    """How fast is each rung on your machine?

    Args:
        table: as ``tables.speed.speed_table`` returns it.
        cell: what was asked for.
    """
    best = table.sort_values("FPS").drop_duplicates(["size", "rung"], keep="last")
    named = best.rename(columns={"FPS": "fps", "params (M)": "params_m"})
    said = speed_sentences(named)
    fastest, slowest = named.loc[named["fps"].idxmax()], named.loc[named["fps"].idxmin()]
    said.append(
        f"Of all that was timed, {LADDER[fastest['rung']].title} ({fastest['size']}) is the "
        f"fastest with {fastest['fps']:.3g} images a second, {LADDER[slowest['rung']].title} "
        f"({slowest['size']}) the slowest with {slowest['fps']:.3g}."
    )
    printed = load_paper_table("eomt_table1_ladder").set_index("rung")["fps"]
    ratio = printed["eomt"] / printed[BASELINE]
    said.append(f"The paper prints a ratio of {ratio:.1f} at ViT-L (H100, mixed precision).")
    doubted = named[named["remarks"] != ""]
    doubts = {
        remark: [LADDER[rung].title for rung in rows["rung"]]
        for remark, rows in doubted.groupby("remarks", sort=False)
    }
    why = "At a size of the papers their PQ can stand beside the speed of this machine."
    steps = () if named["size"].isin(PAPER_SIZES).any() else ((why, cell.command(sizes="small")),)
    return Answer(
        question="How fast is each rung on your machine?",
        sentences=tuple(said),
        doubts=tuple(
            f"{remark[0].upper()}{remark[1:]}: {', '.join(names)}."
            for remark, names in doubts.items()
        ),
        next_steps=steps,
    )


def papers_answer(filled: Mapping[str, pd.DataFrame], *, trained: int) -> Answer:
    """What of the papers' tables was measured here?

    Args:
        filled: table → as ``papers.filling.fill`` returns it.
        trained: records of trainings that were looked through.
    """
    kinds = {"parameters and GMACs": ("params", "gmacs"), "FPS": ("fps",), "accuracy": ()}
    counts = {kind: [0, 0] for kind in kinds}
    for table in filled.values():
        for column in (name for name in table if name.endswith(" here")):
            is_of = (k for k, parts in kinds.items() if any(part in column for part in parts))
            count = counts[next(is_of, "accuracy")]
            count[0] += int(table[column].notna().sum())
            count[1] += int(table[column.removesuffix(" here")].notna().sum())
    said = [
        f"{kind[0].upper()}{kind[1:]}: {there or 'none'} of {all_} printed figures stand beside "
        "one measured here."
        for kind, (there, all_) in counts.items()
    ]
    if not counts["accuracy"][0]:
        said.append(
            f"None of the {trained} trainings found is a full schedule on the papers' data, so no "
            "printed accuracy was measured. What was trained stands in the last table."
        )
    return Answer(
        question="What of the papers' tables was measured here?",
        sentences=tuple(said),
        next_steps=(
            ("FPS need no training: speed.ipynb times the papers' sizes.", ""),
            (
                "An accuracy needs the paper's schedule on its data, on a GPU:",
                "papermill notebooks/ablation.ipynb results/runs/ablation.ipynb -p size large "
                "-p dataset coco -p data_path FOLDER",
            ),
        ),
    )


def steps_of(frame: pd.DataFrame) -> dict[str, str]:
    """Rung → the one before it among those of a frame."""
    chosen = list(dict.fromkeys(frame["rung"]))
    return dict(zip(chosen[1:], chosen, strict=False))


def _in_turns(rows: pd.DataFrame) -> bool:
    """Whether FPS may be divided: those of other times may be of another load or clock."""
    return "session" not in rows or rows["session"].nunique() == 1


def speed_sentences(frame: pd.DataFrame, *, by: str = "size") -> list[str]:
    """How much faster EoMT is than ViT-Adapter + Mask2Former, for each value of ``by``."""
    said = []
    for value, part in frame.groupby(by, sort=False):
        fps = part.groupby("rung")["fps"].first()
        if not {"eomt", BASELINE} <= set(fps.index):
            continue
        ours, theirs = fps["eomt"], fps[BASELINE]
        if not _in_turns(part[part["rung"].isin(["eomt", BASELINE])]):
            said.append(
                f"EoMT and {LADDER[BASELINE].title} ({value}) were timed at different times: "
                f"{ours:.3g} and {theirs:.3g} images a second."
            )
            continue
        params = part.groupby("rung")["params_m"].first()
        share = 100 * params["eomt"] / params[BASELINE]
        said.append(
            f"EoMT runs {ours / theirs:.1f} times as fast as {LADDER[BASELINE].title} "
            f"here ({value}: {ours:.3g} against {theirs:.3g} images a second), with {share:.0f} % "
            "of its parameters."
        )
    return said
