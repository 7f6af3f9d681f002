"""Runs a segmenter over a data set and measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from eomtlib.core import console
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.machine import distributed
from eomtlib.core.structures import Batch, ClassInfo, SegmentMap
from eomtlib.evaluation.metrics import METRICS
from eomtlib.evaluation.metrics.confusion import count_pixels
from eomtlib.evaluation.metrics.metric import Result
from eomtlib.inference.segmenter import Segmenter
from eomtlib.inference.tasks import get_task

EVALUATION_METHOD = 1
"""Raised with every change of the figures of given segmentations."""

Watcher = Callable[[Any, SegmentMap, int], None]
"""Given the segmentation of an image, as the task's post-processing returns it, its target and its
id."""


@torch.inference_mode()
def evaluate(
    segmenter: Segmenter,
    loader: Iterable[Batch],
    *,
    classes: Sequence[ClassInfo],
    progress: bool = True,
    watchers: Sequence[Watcher] = (),
    options: Mapping[str, Any] | None = None,
) -> Result:
    """The figures of the segmenter's task at the images' original sizes, and their confusion.

    Where there are several processes, each goes over its share of the images, and all get the
    figures of the whole.

    Args:
        segmenter: or whatever has its ``task`` and ``segment_views``.
        loader: batches as ``data.feed.loaders.eval_loader`` makes them, with windows where the task
            wants them: images of the segmenter's input size, and segments at the original size.
        classes: of the data set.
        progress: whether a progress bar is shown.
        watchers: called with each image as it comes, in the process that segments it.
        options: of the task's metric: ``boundary`` of ``PanopticQuality``, ``max_dets`` of
            ``InstanceAP``.

    Raises:
        ConfigurationError: when segmentations, targets and classes do not fit together, or there
            is no image.
    """
    made = partial(METRICS[segmenter.task], classes, **options or {})
    metric, count = made(), 0
    task, num_classes = get_task(segmenter.task), len(classes)
    confusion = np.zeros((num_classes + 1,) * 2, np.int64)
    for batch in console.progress(loader, "evaluating", unit="batches", shown=progress):
        segmentations = segmenter.segment_views(batch.images, batch.original_sizes)
        for target, image_id in zip(batch.segments, batch.image_ids, strict=True):
            segmented = next(segmentations)
            metric.update(segmented, target)
            confusion += count_pixels(
                task.paint(segmented),
                target,
                num_classes=num_classes,
                has_background=task.has_background,
            )
            count += 1
            for watch in watchers:
                watch(segmented, target, image_id)
            del segmented  # before the next image's is made
    parts = distributed.gathered((count, metric.state(), confusion))
    if not sum(own for own, *_ in parts):
        raise ConfigurationError("there is no image to evaluate on.")
    merged = made()
    for _, state, _ in parts:
        merged.merge(state)
    total = sum(own for *_, own in parts)
    return replace(merged.compute(), confusion=tuple(map(tuple, total.tolist())))
