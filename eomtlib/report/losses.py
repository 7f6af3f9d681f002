"""Where a figure went, in sentences, from the errors of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_IN_WORDS = {
    "void": "wrong segments on void and crowds, and true ones without a pixel",
    "class wrong": "segments of the wrong class",
    "split": "segments in several pieces",
    "merged": "several segments in one",
    "invented": "segments where there is none",
    "missed": "segments that were missed",
    "too coarse": "masks that are not exact",
}
_WORTH_SAYING = 0.05


def loss_sentences(errors: Mapping[str, Any]) -> list[str]:
    """What was lost, the most first; one claim a sentence. Names of classes are not escaped."""
    said = []
    kinds = sorted(errors.get("kinds", {}).items(), key=lambda item: -item[1])
    if lost := sum(loss for _, loss in kinds):
        said.append(f"{lost:.1f} points of PQ are lacking to 100.")
        for kind, loss in kinds:
            if loss >= _WORTH_SAYING * lost:
                said.append(f"{loss:.1f} of them: {_IN_WORDS[kind]} ({kind}).")
    for pair in errors.get("pairs", ())[:3]:
        said.append(
            f"{pair['loss']:.1f} points of mIoU: {pair['true']} taken for {pair['predicted']}."
        )
    if reliability := errors.get("reliability"):
        bins = reliability["bins"]
        count = sum(own["predictions"] for own in bins)
        score, right = (
            sum(own[name] * own["predictions"] for own in bins) / count
            for name in ("score", "right")
        )
        said.append(
            f"{right:.0f} % of {count:,.0f} predictions are right, and their scores say "
            f"{score:.0f} % (calibration error {reliability['ece']:.1f} %)."
        )
    return said
