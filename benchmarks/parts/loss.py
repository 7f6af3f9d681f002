"""Loss and matching, forward and backward: 200 queries, 8 images, 4 layers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from benchmarks.compare import Comparison, time_pairs
from benchmarks.inputs import NUM_QUERIES, Options, training_stream
from benchmarks.peers.hugging_face import NUM_CLASSES, mask_stacks
from eomtlib.predictions import MaskLogits, Predictions
from eomtlib.structures import SegmentMap
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
    comparisons = []
    for what, masks, bar in (
        ("from embeddings and features", _factors, 5.0),
        ("from mask logits in every pixel", _logits, None),
    ):
        ours, theirs = _sides(segments, masks())
        apart = abs(ours() / theirs() - 1).item()
        comparisons.append(
            Comparison(
                part=f"loss and matching {what}, {IMAGES} images, {LAYERS} layers, with gradients",
                peer="transformers' Mask2FormerLoss on the product",
                samples=time_pairs(ours, theirs, seconds=options.seconds),
                bar=bar,
                agreement=f"totals {100 * apart:.2f} % apart at points of their own; on the same "
                "points equal to 1e-5 (tests)",
                unit=f"{IMAGES} images",
            )
        )
    return comparisons


def _sides(
    segments: tuple[SegmentMap, ...], layers: list[MaskLogits]
) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Both draw 12,544 points of their own and differentiate the same leaves."""
    masks, labels = mask_stacks([s.ids for s in segments], [s.labels for s in segments])
    generator = torch.Generator().manual_seed(0)
    class_logits = [_leaf(generator, NUM_QUERIES, NUM_CLASSES + 1) for _ in range(LAYERS)]
    leaves = [x for m in layers for x in (m.features, m.embeddings) if x is not None]
    leaves += class_logits
    loss = SegmentationLoss(NUM_CLASSES)
    criterion = Mask2FormerLoss(Mask2FormerConfig(num_labels=NUM_CLASSES), weight_dict={})

    def ours() -> Tensor:
        generators = [torch.Generator().manual_seed(i) for i in range(IMAGES)]
        predictions = Predictions(tuple(layers), tuple(class_logits))
        out = loss(predictions, segments, generators=generators)
        torch.autograd.grad(out.total, leaves)
        return out.total.detach()

    def theirs() -> Tensor:
        torch.manual_seed(0)
        total = torch.zeros(())
        for layer, layer_classes in zip(layers, class_logits, strict=True):
            mask_logits = layer.features
            if layer.embeddings is not None:
                mask_logits = torch.einsum("bqc,bchw->bqhw", layer.embeddings, layer.features)
            found = criterion(mask_logits, layer_classes, masks, labels)
            total = total + 2 * found["loss_cross_entropy"]
            total = total + 5 * found["loss_mask"] + 5 * found["loss_dice"]
        torch.autograd.grad(total, leaves)
        return total.detach()

    return ours, theirs


def _factors() -> list[MaskLogits]:
    """Features channels-last in memory, as the models make them."""
    generator = torch.Generator().manual_seed(1)
    return [
        MaskLogits(
            _leaf(generator, CELLS, CELLS, WIDTH, last=True),
            _leaf(generator, NUM_QUERIES, WIDTH, scale=WIDTH**-0.5),
        )
        for _ in range(LAYERS)
    ]


def _logits() -> list[MaskLogits]:
    generator = torch.Generator().manual_seed(1)
    return [MaskLogits(_leaf(generator, NUM_QUERIES, CELLS, CELLS)) for _ in range(LAYERS)]


def _leaf(
    generator: torch.Generator, *shape: int, scale: float = 1.0, last: bool = False
) -> Tensor:
    values = scale * torch.randn((IMAGES, *shape), generator=generator)
    return (values.permute(0, 3, 1, 2) if last else values).requires_grad_()
