"""Loss and matching, forward and backward: 200 queries, 8 images, 4 layers."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from benchmarks.compare import Comparison, time_pairs
from benchmarks.inputs import NUM_QUERIES, Options, training_stream
from benchmarks.peers.hugging_face import NUM_CLASSES, mask_stacks
from eomtlib.structures import Predictions
from eomtlib.training.loss import SegmentationLoss

IMAGES, LAYERS = 8, 4


def run(options: Options) -> list[Comparison]:
    """Real targets, the same random predictions; both draw 12,544 points of their own.

    Each gets its mask logits in the memory layout that its models make them in.
    """
    stream = training_stream(options, batch_size=IMAGES)
    segments = next(iter(stream.loader(steps=1))).segments
    masks, labels = mask_stacks([s.ids for s in segments], [s.labels for s in segments])
    generator = torch.Generator().manual_seed(0)
    mask_logits = [_leaf(generator, IMAGES, NUM_QUERIES, 160, 160) for _ in range(LAYERS)]
    class_logits = [_leaf(generator, IMAGES, NUM_QUERIES, NUM_CLASSES + 1) for _ in range(LAYERS)]
    our_masks = [
        logits.detach().to(memory_format=torch.channels_last).requires_grad_()
        for logits in mask_logits
    ]
    loss = SegmentationLoss(NUM_CLASSES)
    criterion = Mask2FormerLoss(Mask2FormerConfig(num_labels=NUM_CLASSES), weight_dict={})

    def ours() -> Tensor:
        generators = [torch.Generator().manual_seed(i) for i in range(IMAGES)]
        out = loss(Predictions(our_masks, class_logits), segments, generators=generators)
        torch.autograd.grad(out.total, [*our_masks, *class_logits])
        return out.total.detach()

    def theirs() -> Tensor:
        torch.manual_seed(0)
        total = torch.zeros(())
        for layer_masks, layer_classes in zip(mask_logits, class_logits, strict=True):
            found = criterion(layer_masks, layer_classes, masks, labels)
            total = total + 2 * found["loss_cross_entropy"]
            total = total + 5 * found["loss_mask"] + 5 * found["loss_dice"]
        torch.autograd.grad(total, [*mask_logits, *class_logits])
        return total.detach()

    apart = abs(ours() / theirs() - 1).item()
    return [
        Comparison(
            part=f"loss and matching, {IMAGES} images, {LAYERS} layers, with gradients",
            peer="transformers' Mask2FormerLoss",
            samples=time_pairs(ours, theirs, seconds=options.seconds),
            bar=5.0,
            agreement=f"totals {100 * apart:.2f} % apart at points of their own; on the same "
            "points equal to 1e-5 (tests)",
            unit=f"{IMAGES} images",
        )
    ]


def _leaf(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator).requires_grad_()
