"""Loss and matching, forward and backward: 200 queries, 8 images, 4 layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from benchmarks.compare import Comparison, Sides, compare
from benchmarks.inputs import NUM_QUERIES, Options, training_stream
from benchmarks.peers.hugging_face import NUM_CLASSES, mask_stacks
from eomtlib.core.predictions import MaskLogits, Predictions
from eomtlib.core.structures import SegmentMap
from eomtlib.training.loss import SegmentationLoss

IMAGES, LAYERS = 8, 4
CELLS = 160
# The width of EoMT-S, in which its masks are multiplied out.
WIDTH = 384


def run(options: Options) -> list[Comparison]:
    """Real targets, random predictions; once as a model has them, once as logits in every pixel.

    A model ends with embeddings and features. Their product is a part of what masks cost, and one
    that our loss needs in a few places only.
    """
    stream = training_stream(options, batch_size=IMAGES)
    segments = next(iter(stream.loader(steps=1))).segments
    return [
        compare(
            sides(segments, factors=factors),
            part=f"loss and matching {what}, {IMAGES} images, {LAYERS} layers, with gradients",
            peer="transformers' Mask2FormerLoss on the product",
            seconds=options.seconds,
            bar=bar,
            unit=f"{IMAGES} images",
        )
        for what, factors, bar in (
            ("from embeddings and features", True, 5.0),
            ("from mask logits in every pixel", False, None),
        )
    ]


def sides(
    segments: Sequence[SegmentMap], *, num_queries: int = NUM_QUERIES, factors: bool = True
) -> Sides:
    """Both draw 12,544 points of their own and differentiate the same leaves.

    Args:
        segments: the targets, one map an image.
        num_queries: that are predicted in each of the layers.
        factors: whether masks come as embeddings and features, or as logits in every pixel.
    """

    def ours() -> Callable[[], Tensor]:
        predictions, leaves = _predictions(len(segments), num_queries, factors)
        loss = SegmentationLoss(NUM_CLASSES)

        def call() -> Tensor:
            generators = [torch.Generator().manual_seed(i) for i in range(len(segments))]
            out = loss(predictions, segments, generators=generators)
            torch.autograd.grad(out.total, leaves)
            return out.total.detach()

        return call

    def theirs() -> Callable[[], Tensor]:
        predictions, leaves = _predictions(len(segments), num_queries, factors)
        masks, labels = mask_stacks([s.ids for s in segments], [s.labels for s in segments])
        criterion = Mask2FormerLoss(Mask2FormerConfig(num_labels=NUM_CLASSES), weight_dict={})

        def call() -> Tensor:
            torch.manual_seed(0)
            total = torch.zeros(())
            for layer, classes in zip(predictions.masks, predictions.class_logits, strict=True):
                mask_logits = layer.features
                if layer.embeddings is not None:
                    mask_logits = torch.einsum("bqc,bchw->bqhw", layer.embeddings, layer.features)
                found = criterion(mask_logits, classes, masks, labels)
                total = total + 2 * found["loss_cross_entropy"]
                total = total + 5 * found["loss_mask"] + 5 * found["loss_dice"]
            torch.autograd.grad(total, leaves)
            return total.detach()

        return call

    return Sides(ours, theirs, _agreement)


def _agreement(ours: Tensor, theirs: Tensor) -> str:
    apart = abs(ours / theirs - 1).item()
    return (
        f"totals {100 * apart:.2f} % apart at points of their own; on the same points equal to "
        "1e-5 (tests)"
    )


def _predictions(images: int, num_queries: int, factors: bool) -> tuple[Predictions, list[Tensor]]:
    """Random predictions and their leaves; features channels-last, as the models make them."""
    generator = torch.Generator().manual_seed(1)

    def leaf(*shape: int, scale: float = 1.0, last: bool = False) -> Tensor:
        values = scale * torch.randn((images, *shape), generator=generator)
        return (values.permute(0, 3, 1, 2) if last else values).requires_grad_()

    def masks() -> MaskLogits:
        if not factors:
            return MaskLogits(leaf(num_queries, CELLS, CELLS))
        features = leaf(CELLS, CELLS, WIDTH, last=True)
        return MaskLogits(features, leaf(num_queries, WIDTH, scale=WIDTH**-0.5))

    layers = tuple(masks() for _ in range(LAYERS))
    classes = tuple(leaf(num_queries, NUM_CLASSES + 1) for _ in range(LAYERS))
    leaves = [x for m in layers for x in (m.features, m.embeddings) if x is not None]
    return Predictions(layers, classes), [*leaves, *classes]
