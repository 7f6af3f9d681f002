"""One forward pass of one model on one picture, and everything that can be seen in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from eomtlib.core.structures import ClassInfo, fitted_size
from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.data.feed.windows import WindowLayout
from eomtlib.evaluation.worst_images import figure_alone
from eomtlib.inference.postprocessing import resize_to_image, semantic_scores
from eomtlib.inference.segmenter import Segmenter
from eomtlib.inference.tasks import get_task
from eomtlib.models.attention_maps import query_attention
from eomtlib.models.ladder import LADDER
from eomtlib.models.parts.query_blocks import QueryBlockModel
from eomtlib.models.parts.segmentation_model import SegmentationModel
from eomtlib.report.explore.sources import Picture, Segments

ONLY_LAST = "trained without masks: it predicts once, after its last layer"


@dataclass(frozen=True)
class Layer:
    """What one predicted layer says.

    Attributes:
        name: where in the model it is.
        mask_logits: ``[N, Q, h, w]`` of the N views of the picture, on the CPU; float32 of the
            final layer, else float16.
        class_logits: ``[N, Q, classes + 1]`` float32 on the CPU, "no object" last.
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
        details: of the model, which others that are looked at share.
        attention: where queries look in each block that processes them, ``[Q, rows, columns]`` of
            patches over the picture as the model saw it; empty where they are not in blocks, or
            the picture was seen in several windows.
    """

    title: str
    picture: Picture
    classes: tuple[ClassInfo, ...]
    input_size: tuple[int, int]
    layers: tuple[Layer, ...]
    note: str = ""
    label: str = ""
    task: str = "panoptic"
    details: str = ""
    attention: tuple[Tensor, ...] = ()

    @property
    def num_queries(self) -> int:
        """Q."""
        return self.layers[-1].class_logits.shape[1]

    @property
    def caption(self) -> str:
        """How segmentations of the task come about; ``{}`` where the threshold of scores acts."""
        if self.task == "panoptic":
            return "Segments of queries that score above {:.2f}."
        if self.task == "instance":
            return "Instances that score at least 0.5, the surest in front."
        return "The class of the highest score in each pixel; no threshold acts."

    def segmented(self, *, threshold: float = 0.8, layer: int = -1) -> Any:
        """What the task's post-processing makes of a layer, as ``predict`` and the evaluation do.

        Args:
            threshold: of scores, for panoptic segmentation.
            layer: its position.
        """
        task, seen = get_task(self.task), self.layers[layer]
        options = task.class_options(self.classes)
        options |= {"threshold": threshold} if self.task == "panoptic" else {}
        process = task.post_processing(self.input_size, options)
        logits = seen.mask_logits.float(), seen.class_logits
        return process(*logits, target_sizes=[self.picture.size], **task.sparing)[0]

    def segments(self, *, threshold: float = 0.8, layer: int = -1) -> Segments:
        """What ``segmented`` gives, as one map of segments."""
        painted = get_task(self.task).paint(self.segmented(threshold=threshold, layer=layer))
        return Segments(
            ids=painted.ids.numpy(),
            labels=tuple(painted.labels),
            classes=self.classes,
            scores=None if painted.scores is None else tuple(painted.scores),
        )

    def accuracy(self, *, threshold: float = 0.8, layer: int = -1) -> tuple[str, float] | None:
        """The task's figure of this image alone, such as ``("PQ", 48.3)``.

        None where the picture has no target of this task and these classes.
        """
        target = self.picture.target
        if target is None or self.picture.task != self.task or target.classes != self.classes:
            return None
        segmented = self.segmented(threshold=threshold, layer=layer)
        own = figure_alone(self.task, self.classes, segmented, self.picture.annotation)
        return ACCURACIES[FIGURES[self.task][0]], own

    def masks(self, queries: Sequence[int], *, layer: int = -1) -> Tensor:
        """The mask probabilities of some queries at the picture's size, ``[K, H, W]``.

        Those of several windows are averaged where they overlap.
        """
        logits, size = self.layers[layer].mask_logits[:, list(queries)].float(), self.picture.size
        if self.task != "semantic":
            resized = resize_to_image(logits[0], target_size=size, input_size=self.input_size)
            return resized.sigmoid()
        # Each query as a class of its own.
        own = 1e4 * torch.eye(len(queries), len(queries) + 1).expand(len(logits), -1, -1)
        stitched = semantic_scores(logits, own, target_sizes=[size], input_size=self.input_size)
        return F.interpolate(next(stitched)[None], size, mode="bilinear")[0].clamp(0, 1)

    def query_behind(self, places: np.ndarray, label: int | None = None, *, layer: int = -1) -> int:
        """The query that claims some pixels most, by its score times its mask probability.

        Args:
            places: rows and columns of pixels of the picture, ``[K, 2]``.
            label: the class that it claims them for; None for whichever it is surest of.
            layer: its position.
        """
        layout, seen = self.layout, self.layers[layer]
        resized = (places + 0.5) * np.array(layout.size) / np.array(self.picture.size)
        starts = np.array(layout.offsets)
        # The last window that begins above and to the left of it shows a pixel.
        starts_before = (starts[None] <= resized[:, None]).all(-1)
        window = len(starts) - 1 - starts_before[:, ::-1].argmax(1)
        inside = 2 * (resized - starts[window]) / np.array(self.input_size) - 1
        scores = self.class_scores(layer=layer)
        objects = scores[..., :-1]
        wanted = objects.amax(-1) if label is None else objects[..., label]
        if label is not None and self.task == "panoptic":
            wanted = wanted * (scores.argmax(-1) == label)
        total = torch.zeros(self.num_queries)
        for index in np.unique(window):
            grid = torch.from_numpy(inside[window == index][:, ::-1].copy()).float()
            logits = seen.mask_logits[index].float()[None]
            sampled = F.grid_sample(logits, grid[None, None], align_corners=False)[0, :, 0]
            total += wanted[index] * sampled.sigmoid().sum(-1)
        return int(total.argmax())

    def class_scores(self, *, layer: int = -1) -> Tensor:
        """Each query's probabilities of the classes, ``[N, Q, classes + 1]``, "no object" last."""
        return self.layers[layer].class_logits.softmax(dim=-1)

    @property
    def layout(self) -> WindowLayout:
        """Where the picture lies in what the model saw of it."""
        if self.task == "semantic":
            return WindowLayout.of(self.picture.size, self.input_size)
        return WindowLayout(fitted_size(self.picture.size, self.input_size), ((0, 0),))

    def ranking(self) -> list[int]:
        """All queries, from the surest of a class on; what is no object comes last."""
        scores = self.class_scores().mean(0)[:, :-1].max(dim=-1).values
        return scores.argsort(descending=True).tolist()

    def says(self, query: int, *, layer: int = -1) -> str:
        """The class and score of a query; with "no object" the next best class as well.

        Of several windows the mean.
        """
        scores = self.class_scores(layer=layer)[:, query].mean(0)
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
    details: str = "",
    label: str = "",
    task: str = "panoptic",
) -> Inspection:
    """Runs a model on a picture and keeps what every layer predicts, and where queries look.

    It sees the picture as ``predict`` shows it: semantic models see windows. Masks in the attention
    apply as they do at inference: always where the model was trained with them to the end, never
    where they were annealed away.

    Args:
        model: put into eval mode and onto ``device``.
        picture: to look at.
        title: of the model.
        rung: of the model, for the names of its layers.
        classes: of the model.
        device: to run on.
        details: of the model, which others that are looked at share.
        label: what must stand beside the predictions.
        task: that the model was trained for.
    """
    pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)
    options = get_task(task).class_options(classes)
    segmenter = Segmenter(
        model, task=task, device=device, precision="float32", folded=False, **options
    )
    views = segmenter.views(pixels)
    predicted = [segmenter.predict_layers(view) for view in views.split(1)]
    names = _layer_names(len(predicted[0]), "block" if LADDER[rung].has_query_blocks else "layer")
    layers = []
    for index, name in enumerate(names):
        # Intermediate layers are only looked at.
        dtype = torch.float16 if index < len(names) - 1 else torch.float32
        masks = torch.cat([own.masks[index].dense().to("cpu", dtype) for own in predicted])
        scores = torch.cat([own.class_logits[index].to("cpu", torch.float32) for own in predicted])
        layers.append(Layer(name, masks.contiguous(), scores))
    attention: list[Tensor] = []
    if isinstance(model, QueryBlockModel) and len(views) == 1:
        attention = query_attention(model, views)
    return Inspection(
        title=title,
        picture=picture,
        classes=tuple(classes),
        input_size=segmenter.input_size,
        layers=tuple(layers),
        note="" if model.masking.in_training else ONLY_LAST,
        label=label,
        task=task,
        details=details,
        attention=tuple(block[0].to("cpu", torch.float16) for block in attention),
    )


def _layer_names(count: int, unit: str) -> list[str]:
    """Predictions are made before the first block that reads queries, and after each."""
    if count == 1:
        return ["final"]
    names = [f"before {unit} 1", *(f"after {unit} {i}" for i in range(1, count))]
    names[-1] += " (final)"
    return names
