"""What the trained models of a study see, as arrays that plots take."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from PIL import Image

from eomtlib.core.structures import SegmentMap
from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.data.dataset import SegmentationDataset
from eomtlib.data.feed.transforms import EvalTransform
from eomtlib.inference.segmenter import Segmenter
from eomtlib.inference.tasks import get_task
from eomtlib.models.attention_maps import query_attention
from eomtlib.study.runs.run import Run
from eomtlib.study.study import Study
from eomtlib.training.loop.fit import read_curves
from eomtlib.training.pretraining import reconstructions as reconstructions_of

_PAGE_SIDE = 400
_Sample = tuple[torch.Tensor, SegmentMap]
_Segments = tuple[np.ndarray, list[int]]


@dataclass(frozen=True)
class Segmentations:
    """Images and what every model makes of them, as ``plots.plot_segmentations`` takes them.

    Attributes:
        images: each ``[H, W, 3]`` uint8.
        rows: title, with the accuracy on all validation images → for each image its segment ids
            and the class of each id.
    """

    images: list[np.ndarray]
    rows: dict[str, list[tuple[np.ndarray, list[int]]]] = field(default_factory=dict)


def segmentations(study: Study, *, num_images: int = 4) -> Segmentations:
    """The first validation images, segmented by every trained rung of the first configuration.

    The target comes first; a rung that finds no segment in any of them is left out.
    """
    val_set = study.first_runs[0].materials.val_set
    samples = [val_set.read(index) for index in range(min(num_images, len(val_set)))]
    images = [image.permute(1, 2, 0).numpy() for image, _ in samples]
    trained = _trained(study.first_runs)
    if not trained:
        return Segmentations(images)
    rows = {"target": _targets(samples)}
    for run in trained:
        segmenter = run.maker.segmenter(run.maker.trained(run.folder / "model"))
        found = _segmented(segmenter, samples)
        if any((ids >= 0).any() for ids, _ in found):
            figure = FIGURES[study.settings.task][0]
            value = run.result().evaluation.metrics[figure]
            title = f"{run.identity.rung.title}\n{ACCURACIES[figure]} {value:.1f}"
            rows[title] = found
        del segmenter
        gc.collect()
    return Segmentations(images, rows)


def pictures_of(
    places: Sequence[int], dataset: SegmentationDataset, segmenter: Segmenter
) -> Segmentations:
    """Images of a data set with their targets and what is predicted, small enough for a page."""
    samples = [dataset.read(place) for place in places]
    found = Segmentations([], {"target": [], "prediction": []})
    rows = zip(samples, _targets(samples), _segmented(segmenter, samples), strict=True)
    for (image, _), *maps in rows:
        step = -(-max(image.shape[1:]) // _PAGE_SIDE)
        small = Image.fromarray(image.permute(1, 2, 0).numpy()).reduce(step)
        found.images.append(np.asarray(small))
        for row, (ids, labels) in zip(found.rows.values(), maps, strict=True):
            row.append((ids[::step, ::step], labels))
    return found


def _targets(samples: Sequence[_Sample]) -> list[_Segments]:
    # Of overlapping instances, those of later layers lie in front.
    return [(s.ids.amax(0).numpy(), s.labels.tolist()) for _, s in samples]


def _segmented(segmenter: Segmenter, samples: Sequence[_Sample]) -> list[_Segments]:
    painted = [get_task(segmenter.task).paint(segmenter(image)) for image, _ in samples]
    return [(p.ids.cpu().numpy(), p.labels) for p in painted]


def curves(study: Study, *, masking: str | None = None) -> dict[str, pd.DataFrame]:
    """Rung → the logged values of its training in the first configuration.

    Args:
        study: whose runs were trained.
        masking: instead, of those of the first seed that were trained with it.
    """
    alike = [run for run in study.runs if run.identity.masking == masking]
    first = [run for run in alike if run.settings.seed == study.settings.seed]
    chosen = study.first_runs if masking is None else first
    return {run.rung: read_curves(run.folder) for run in _trained(chosen)}


def curves_of_runs(study: Study, factors: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The values that tell a run of the first seed → what was logged while it was trained.

    Args:
        study: whose runs were trained.
        factors: what was varied.
    """
    return {
        ", ".join(f"{name} {point[name]}" for name in factors): read_curves(run.folder)
        for run, point in zip(study.runs, study.points, strict=True)
        if run.settings.seed == study.settings.seed and run.result().training is not None
    }


def reconstructions(study: Study, *, num_images: int = 4) -> dict[str, list[np.ndarray]]:
    """What masked-image pretraining makes of the first validation images.

    As ``pretraining.reconstructions`` returns it; empty where no encoder was pretrained by it.
    """
    pretrained = [run.materials for run in study.runs if run.materials.pretraining is not None]
    if not pretrained:
        return {}
    val_set = pretrained[0].val_set
    images = [val_set.read(index)[0] for index in range(min(num_images, len(val_set)))]
    return reconstructions_of(pretrained[0].encoder_weights(), images)


def attention_rows(
    study: Study, *, image_index: int = 0
) -> tuple[np.ndarray, dict[str, tuple[list[np.ndarray], np.ndarray]]]:
    """What the query of the surest segment of an image looks at, for each EoMT of the first seed.

    Args:
        study: of ``questions.masking_points``.
        image_index: of the validation set.

    Returns:
        The image as the models see it, and rows as ``plots.plot_attention`` takes them.
    """
    image, _ = study.runs[0].materials.val_set.read(image_index)
    fitted = EvalTransform(study.settings.image_size).fit(image)
    images = fitted[None].to(study.settings.device)
    rows = {}
    for run in _trained(study.runs):
        if not run.identity.rung.has_query_blocks or run.settings.seed != study.settings.seed:
            continue
        model = run.maker.trained(run.folder / "model")
        masked = run.identity.inference_masking == "masked"
        with torch.inference_mode():
            masks, classes = model.predict(images, masked=masked)
        query = int(classes[0].softmax(dim=-1)[:, :-1].amax(dim=-1).argmax())
        maps = query_attention(model, images, masked=masked)
        how = f"trained {run.identity.masking},\nrun {run.identity.inference_masking}"
        rows[how] = (
            [block[0, query].cpu().numpy() for block in maps],
            masks[0, query].sigmoid().cpu().numpy(),
        )
    return fitted.permute(1, 2, 0).numpy(), rows


def _trained(runs: list[Run]) -> list[Run]:
    return [run for run in runs if run.result().training is not None]
