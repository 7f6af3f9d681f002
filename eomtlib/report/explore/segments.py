"""The segments of an image with their names: what views draw, predicted or annotated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Segments:
    """A segmentation that knows how its classes are called.

    Attributes:
        ids: ``[H, W]``, positions in ``labels``; −1 is void.
        labels: the class of each segment.
        class_names: of all classes.
        scores: of each segment; None for annotations.
    """

    ids: np.ndarray
    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    scores: tuple[float, ...] | None = None

    def text(self, segment: int) -> str:
        """What is written on a segment: its class and, where it has one, its score."""
        name = self.class_names[self.labels[segment]]
        return name if self.scores is None else f"{name} {self.scores[segment]:.2f}"
