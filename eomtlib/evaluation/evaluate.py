"""Runs a model over a data set and measures it. A model is a callable; how it was made is open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from tqdm.auto import tqdm

from eomtlib.core import distributed
from eomtlib.core.structures import Batch, ClassInfo
from eomtlib.evaluation.metrics import METRICS
from eomtlib.evaluation.metrics.metric import Metric, Result
from eomtlib.inference.predicting import Predict, predict_in_batches, split_predictions
from eomtlib.inference.tasks import get_task


@torch.inference_mode()
def evaluate(
    predict: Predict,
    loader: Iterable[Batch],
    *,
    task: str,
    classes: Sequence[ClassInfo],
    input_size: tuple[int, int],
    device: torch.device | str = "cpu",
    progress: bool = True,
    options: Mapping[str, Any] | None = None,
    export: Callable[[Any, int], None] | None = None,
) -> Result:
    """The figures of a task at the images' original sizes.

    Where there are several processes, each goes over its share of the images, and all get the
    figures of the whole.

    Args:
        predict: images on ``device`` → predictions; in eval mode, in the precision that it is to
            have.
        loader: batches as ``data.loading.eval_loader`` makes them, with windows where the task
            wants them: images of ``input_size``, and segments at the original size.
        task: of ``words.TASKS``.
        classes: of the data set.
        input_size: height and width of the model's input.
        device: to run on.
        progress: whether a progress bar is shown.
        options: of the task's post-processing, such as ``threshold``.
        export: given the prediction and the id of each image, as it comes
            (``export.exporting``).

    Raises:
        ConfigurationError: for an unknown task or option, or when predictions, targets and classes
            do not fit together.
    """
    chosen = get_task(task)
    metric = METRICS[task](classes)
    own_options = chosen.class_options(classes) | dict(options or {})
    post_process = chosen.post_processing(input_size, own_options)
    for batch in tqdm(loader, desc="evaluating", unit="batch", disable=not progress):
        images = batch.images.to(device, non_blocking=True)
        # Windows are more than images, and may be many.
        predictions = predict_in_batches(predict, images, batch_size=len(batch))
        views = [chosen.num_views(size, input_size) for size in batch.original_sizes]
        entries = zip(
            split_predictions(*predictions, views),
            batch.original_sizes,
            batch.segments,
            batch.image_ids,
            strict=True,
        )
        # An image at a time: the instances of a large photograph may take a gigabyte.
        for own, size, target, image_id in entries:
            (prediction,) = post_process(*own, target_sizes=[size])
            metric.update(prediction, target)
            if export is not None:
                export(prediction, image_id)
            del prediction  # before the next image's is made
    return _of_all_processes(metric, METRICS[task](classes)).compute()


def _of_all_processes(own: Metric, merged: Metric) -> Metric:
    if distributed.world_size() == 1:
        return own
    for state in distributed.gathered(own.state()):
        merged.merge(state)
    return merged
