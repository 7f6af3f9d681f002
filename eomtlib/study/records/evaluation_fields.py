"""What the record of an evaluation holds of it."""

from __future__ import annotations

from typing import Any

from eomtlib.evaluation.metrics.confusion import as_texts
from eomtlib.evaluation.metrics.metric import Result
from eomtlib.evaluation.worst_images import WorstImages


def measured(result: Result, worst: WorstImages) -> dict[str, Any]:
    """Attributes of an ``EvaluationRecord``; all processes ask together."""
    return {
        "metrics": result.metrics,
        "per_class": result.per_class,
        "errors": result.errors,
        "confusion": as_texts(result.confusion),
        "worst_images": {str(image_id): own for image_id, own in worst.found().items()},
    }
