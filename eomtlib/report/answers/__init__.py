"""What a study's question came to, in sentences computed from what was measured."""

from eomtlib.report.answers.answer import Answer
from eomtlib.report.answers.notebooks import (
    ablation_answer,
    speed_sentences,
    steps_of,
    study_answer,
)

__all__ = ["Answer", "ablation_answer", "speed_sentences", "steps_of", "study_answer"]
