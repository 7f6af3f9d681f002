"""One forward pass of one model on one picture, and everything that can be seen in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eomtlib.core.structures import ClassInfo
from eomtlib.data.feed.transforms import EvalTransform
from eomtlib.inference.postprocessing import resize_to_image
from eomtlib.inference.segmenter import Segmenter
from eomtlib.inference.tasks import get_task
from eomtlib.models.ladder import LADDER
from eomtlib.models.parts.segmentation_model import SegmentationModel
from eomtlib.report.explore.sources import Picture, Segments

ONLY_LAST = "trained without masks: it predicts once, after its last layer"


@dataclass(frozen=True)
class Layer:
    """What one predicted layer says.

    Attributes:
        name: where in the model it is.
        mask_logits: ``[Q, h, w]`` on the CPU; float32 of the final layer, else float16.
        class_logits: ``[Q, classes + 1]`` float32 on the CPU, "no object" last.
    """

    name: str
    mask_logits: Tensor
    class_logits: Tensor


@dataclass(frozen=True)
class Inspection:
    """Everything that a model predicts of a picture.

    Attributes:
        title: of the model.
        picture: what it was shown.
        classes: of the model.
        input_size: height and width of the canvas that it saw the picture on.
        layers: predicted ones, the final one last.
        note: what must be known of the layers, empty where nothing must.
        label: what must stand beside its predictions, empty where nothing must.
        task: that the model was trained for.
    """

    title: str
    picture: Picture
    classes: tuple[ClassInfo, ...]
    input_size: tuple[int, int]
    layers: tuple[Layer, ...]
    note: str = ""
    label: str = ""
    task: str = "panoptic"

    @property
    def num_queries(self) -> int:
        """Q."""
        return self.layers[-1].class_logits.shape[0]

    def segments(self, *, threshold: float = 0.8, layer: int = -1) -> Segments:
        """The segmentation of a layer, by the post-processing of the task's evaluation.

        A semantic one is of the whole image at once, where the evaluation looks at it in windows.

        Args:
            threshold: of scores, for panoptic segmentation.
            layer: its position.
        """
        task, seen = get_task(self.task), self.layers[layer]
        if self.task == "semantic":
            scores = self.class_scores(layer=layer)[:, :-1]
            masks = self.masks(range(self.num_queries), layer=layer)
            painted = task.paint(torch.einsum("qc,qhw->chw", scores, masks).argmax(dim=0))
        else:
            options = task.class_options(self.classes)
            options |= {"threshold": threshold} if self.task == "panoptic" else {}
            process = task.post_processing(self.input_size, options)
            logits = seen.mask_logits[None].float(), seen.class_logits[None]
            painted = task.paint(process(*logits, target_sizes=[self.picture.size])[0])
        return Segments(
            ids=painted.ids.numpy(),
            labels=tuple(painted.labels),
            classes=self.classes,
            scores=None if painted.scores is None else tuple(painted.scores),
        )

    def masks(self, queries: Sequence[int], *, layer: int = -1) -> Tensor:
        """The mask probabilities of some queries at the picture's size, ``[K, H, W]``."""
        return resize_to_image(
            self.layers[layer].mask_logits[list(queries)].float(),
            target_size=self.picture.size,
            input_size=self.input_size,
        ).sigmoid()

    def class_scores(self, *, layer: int = -1) -> Tensor:
        """Each query's probabilities of the classes, ``[Q, classes + 1]``, "no object" last."""
        return self.layers[layer].class_logits.softmax(dim=-1)

    def ranking(self) -> list[int]:
        """All queries, from the surest of a class on; what is no object comes last."""
        return self.class_scores()[:, :-1].max(dim=-1).values.argsort(descending=True).tolist()

    def says(self, query: int, *, layer: int = -1) -> str:
        """The class and score of a query; with "no object" the next best class as well."""
        scores = self.class_scores(layer=layer)[query]
        best, index = scores[:-1].max(dim=0)
        said = f"{self.classes[index].name} {best:.2f}"
        return said if best > scores[-1] else f"no object {scores[-1]:.2f}, {said}"


@torch.inference_mode()
def inspect(
    model: SegmentationModel,
    picture: Picture,
    *,
    title: str,
    rung: str,
    classes: Sequence[ClassInfo],
    device: str = "cpu",
    label: str = "",
    task: str = "panoptic",
) -> Inspection:
    """Runs a model on a picture, once, and keeps what every layer predicts.

    Masks in the attention apply as they do at inference: always where the model was trained with
    them to the end, never where they were annealed away.

    Args:
        model: put into eval mode and onto ``device``.
        picture: to look at.
        title: of the model.
        rung: of the model, for the names of its layers.
        classes: of the model.
        device: to run on.
        label: what must stand beside the predictions.
        task: that the model was trained for.
    """
    size = model.encoder.image_size
    pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)
    fitted = EvalTransform(size).fit(pixels)[None].to(device)
    options = get_task(task).class_options(classes)
    segmenter = Segmenter(
        model, task=task, device=device, precision="float32", folded=False, **options
    )
    predicted = segmenter.predict_layers(fitted)
    names = _layer_names(len(predicted), "block" if LADDER[rung].has_query_blocks else "layer")
    # Intermediate layers are only looked at.
    dtypes = [*[torch.float16] * (len(names) - 1), torch.float32]
    logits = zip(predicted.mask_logits, predicted.class_logits, strict=True)
    layers = [
        Layer(name, masks[0].to("cpu", dtype).contiguous(), scores[0].to("cpu", torch.float32))
        for name, dtype, (masks, scores) in zip(names, dtypes, logits, strict=True)
    ]
    return Inspection(
        title=title,
        picture=picture,
        classes=tuple(classes),
        input_size=size,
        layers=tuple(layers),
        note="" if model.masking.in_training else ONLY_LAST,
        label=label,
        task=task,
    )


def _layer_names(count: int, unit: str) -> list[str]:
    """Predictions are made before the first block that reads queries, and after each."""
    if count == 1:
        return ["final"]
    names = [f"before {unit} 1", *(f"after {unit} {i}" for i in range(1, count))]
    names[-1] += " (final)"
    return names
