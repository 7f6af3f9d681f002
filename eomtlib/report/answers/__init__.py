"""What a study's question came to, in sentences computed from what was measured."""

from eomtlib.report.answers.answer import Answer
from eomtlib.report.answers.effects import effect_sentences
from eomtlib.report.answers.notebooks import (
    BASELINE,
    MASKED,
    ablation_answer,
    frozen_answer,
    gap_answer,
    masking_answer,
    own_answer,
    papers_answer,
    speed_answer,
    speed_sentences,
    steps_of,
    study_answer,
)

__all__ = [
    "BASELINE",
    "MASKED",
    "Answer",
    "ablation_answer",
    "effect_sentences",
    "frozen_answer",
    "gap_answer",
    "masking_answer",
    "own_answer",
    "papers_answer",
    "speed_answer",
    "speed_sentences",
    "steps_of",
    "study_answer",
]
