"""The three tasks by name: how each makes segmentations of a model's predictions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.structures import ClassInfo, stuff_classes
from eomtlib.data.feed.transforms import EvalTransform
from eomtlib.data.feed.windows import WindowLayout, WindowTransform
from eomtlib.inference.painting import Painted, paint_instances, paint_panoptic, paint_semantic
from eomtlib.inference.postprocessing import (
    post_process_instance_segmentation,
    post_process_panoptic_segmentation,
    post_process_semantic_segmentation,
)

POST_PROCESSING_METHOD = 1
"""Raised with every change of the segmentations of given logits."""


@dataclass(frozen=True)
class Task:
    """How one task segments an image.

    Attributes:
        post_process: mask logits, class logits, ``target_sizes``, ``input_size`` and options of its
            own → an entry for each image.
        paint: an entry of ``post_process`` → one map of segments.
        in_windows: whether a model sees an image in windows (``data.feed.windows``), else fitted
            into a canvas.
        class_options: options of ``post_process`` that follow from the classes.
        sparing: those with which its entries take little memory.
        has_background: whether a pixel without a segment has nothing there, else nobody knows.
    """

    post_process: Callable[..., list[Any]]
    paint: Callable[[Any], Painted]
    in_windows: bool = False
    class_options: Callable[[Sequence[ClassInfo]], dict[str, Any]] = lambda classes: {}
    sparing: Mapping[str, Any] = field(default_factory=dict)
    has_background: bool = False

    def transform(self, input_size: tuple[int, int]) -> EvalTransform | WindowTransform:
        """What makes of an image what a model of that input size sees."""
        return (WindowTransform if self.in_windows else EvalTransform)(input_size)

    def num_views(self, size: Sequence[int], input_size: Sequence[int]) -> int:
        """How many images of ``input_size`` a model sees of one of ``size``."""
        return len(WindowLayout.of(size, input_size).offsets) if self.in_windows else 1

    def post_processing(
        self, input_size: tuple[int, int], options: Mapping[str, Any]
    ) -> Callable[..., list[Any]]:
        """``post_process`` of which only predictions and ``target_sizes`` are open.

        Args:
            input_size: height and width of the model's input.
            options: of ``post_process``.

        Raises:
            ConfigurationError: for an option that it has not, or one missing that it needs.
        """
        parameters = inspect.signature(self.post_process).parameters.values()
        known = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}
        for name in ("target_sizes", "input_size"):
            del known[name]
        where = f"option of {self.post_process.__name__}"
        for name in options:
            check_choice(where, name, known)
        for name, parameter in known.items():
            if parameter.default is parameter.empty and name not in options:
                raise ConfigurationError(f"{name} is not set, an {where}; give it.")
        return partial(self.post_process, input_size=tuple(input_size), **options)


TASKS: dict[str, Task] = {
    "panoptic": Task(
        post_process_panoptic_segmentation,
        paint_panoptic,
        class_options=lambda classes: {"stuff_classes": stuff_classes(classes)},
    ),
    "instance": Task(
        post_process_instance_segmentation,
        paint_instances,
        sparing={"run_lengths": True},
        has_background=True,
    ),
    "semantic": Task(post_process_semantic_segmentation, paint_semantic, in_windows=True),
}


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        ConfigurationError: when there is none.
    """
    return TASKS[check_choice("task", name, TASKS)]
