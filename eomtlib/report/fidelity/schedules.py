"""What the recipes come to in steps, beside the step lists of the released configurations."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
import torch
from torch import nn

from eomtlib.models.ladder import HEAD_SIZES, LADDER, build_model
from eomtlib.training.masking import Window, annealing_windows
from eomtlib.training.optimization import lr_factor, parameter_groups, warmup_lengths
from eomtlib.training.recipes import Recipe, recipe

COCO_STEPS = 12 * 7391
"""Steps of the released COCO configurations: 12 epochs of batch 16."""

RELEASED_WINDOWS: dict[tuple[str, str], list[tuple[int, int]]] = {
    ("eomt", "dinov2"): [(14782, 29564), (29564, 44346), (44346, 59128), (59128, 73910)],
    ("eomt", "dinov3"): [(0, 3000), (29564, 44346), (44346, 59128), (59128, 73910)],
    ("pmt", "dinov3"): [
        (0, 3000),
        (23651, 38433),
        (32520, 47302),
        (41389, 56171),
        (50258, 65040),
        (59128, 73910),
    ],
}
"""Rung and pretraining → the steps in which each block's masks are given up, at ViT-L on COCO."""

STEPS = (0, 499, 500, 1499, 1500, COCO_STEPS // 2, COCO_STEPS - 1)


def recipe_table() -> pd.DataFrame:
    """The recipes that differ, a column each, at ViT-L unless said otherwise."""
    columns = {
        "EoMT, DINOv2, COCO": ("panoptic", "coco", "eomt", "large", "dinov2"),
        "EoMT, DINOv2, ADE20K semantic": ("semantic", "ade20k", "eomt", "large", "dinov2"),
        "EoMT, DINOv2, Cityscapes": ("semantic", "cityscapes", "eomt", "large", "dinov2"),
        "EoMT, DINOv3, COCO": ("panoptic", "coco", "eomt", "large", "dinov3"),
        "EoMT-S, DINOv3, COCO": ("panoptic", "coco", "eomt", "small", "dinov3"),
        "EoMT, DINOv3, ADE20K semantic": ("semantic", "ade20k", "eomt", "large", "dinov3"),
        "PMT, DINOv3, COCO": ("panoptic", "coco", "pmt", "large", "dinov3"),
        "PMT, DINOv3, ADE20K semantic": ("semantic", "ade20k", "pmt", "large", "dinov3"),
    }
    return pd.DataFrame(
        {
            name: _stated(
                recipe(task, dataset, rung, size=size, pretraining=pretraining),
                frozen=LADDER[rung].frozen_encoder,
            )
            for name, (task, dataset, rung, size, pretraining) in columns.items()
        }
    )


def window_table() -> pd.DataFrame:
    """Masking windows in steps: computed, released, and how far they lie apart."""
    rows = []
    for (rung, pretraining), released in RELEASED_WINDOWS.items():
        computed = coco_windows(rung, pretraining)
        for block, (ours, theirs) in enumerate(zip(computed, released, strict=True)):
            start, end = (round(share * COCO_STEPS, 3) for share in ours)
            rows.append(
                {
                    "rung": rung,
                    "pretraining": pretraining,
                    "block": block,
                    "start": start,
                    "start released": theirs[0],
                    "end": end,
                    "end released": theirs[1],
                    "largest difference": max(abs(start - theirs[0]), abs(end - theirs[1])),
                }
            )
    return pd.DataFrame(rows)


def learning_rate_table() -> pd.DataFrame:
    """Learning rates of parameters of every depth at the steps where schedules turn.

    A row for each recipe and kind of parameter, a column for each of ``STEPS``; COCO at ViT-L.
    """
    rows = []
    for rung, pretraining in RELEASED_WINDOWS:
        config = coco_recipe(rung, pretraining).optimizer
        for name, (peak, is_encoder) in peak_rates(rung, pretraining).items():
            rows.append(
                {"rung": rung, "pretraining": pretraining, "parameters": name}
                | {
                    f"step {step}": peak
                    * lr_factor(step, COCO_STEPS, is_encoder=is_encoder, config=config)
                    for step in STEPS
                }
            )
    return pd.DataFrame(rows)


def _stated(found: Recipe, *, frozen: bool) -> dict[str, object]:
    optimizer = found.optimizer
    exempt = f"the last {optimizer.exempt_blocks}" if optimizer.exempt_blocks else "none"
    return {
        "epochs": found.epochs,
        "batch size": found.batch_size,
        "learning rate": optimizer.lr,
        "encoder's, times": "frozen" if frozen else optimizer.encoder_lr_factor,
        "layer-wise decay": "frozen" if frozen else optimizer.layer_decay,
        "blocks exempt from it": "frozen" if frozen else exempt,
        "warm-up (steps)": " + ".join(
            f"{length:.0f}" for length in warmup_lengths(optimizer, COCO_STEPS)
        ),
        "schedule": optimizer.schedule,
        "weight decay": optimizer.weight_decay,
        "gradient clipping": found.gradient_clip,
        "scale jitter": "{} to {}".format(*found.augmentation.scale),
        "colour jitter": "yes" if found.augmentation.hue else "no",
        "first masking window": (
            f"steps 0 to {found.annealing.first_window_steps}"
            if found.annealing.first_window_steps
            else "the common rule"
        ),
    }


def peak_rates(rung: str, pretraining: str) -> dict[str, tuple[float, bool]]:
    """Kind of parameter → its peak learning rate, and whether it is the encoder's; ViT-L, COCO."""
    model = _large(rung, pretraining)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    peaks = {
        names[id(parameter)]: (group["lr"], group["is_encoder"])
        for group in parameter_groups(model, coco_recipe(rung, pretraining).optimizer)
        for parameter in group["params"]
    }
    last = model.encoder.depth - 1
    below = last - HEAD_SIZES["large"].query_blocks
    wanted = {
        "queries and heads": "queries",
        "final norm": "encoder.backbone.norm.weight",
        f"block {last}": f"encoder.backbone.blocks.{last}.norm1.weight",
        f"block {below}": f"encoder.backbone.blocks.{below}.norm1.weight",
        "block 0": "encoder.backbone.blocks.0.norm1.weight",
        "patch embedding": "encoder.backbone.patch_embed.proj.weight",
    }
    return {kind: peaks[name] for kind, name in wanted.items() if name in peaks}


def coco_recipe(rung: str, pretraining: str) -> Recipe:
    """Of ViT-L on COCO, panoptic."""
    return recipe("panoptic", "coco", rung, size="large", pretraining=pretraining)


def coco_windows(rung: str, pretraining: str) -> list[Window]:
    """Its masking windows at the length of the released configurations, as shares of the run."""
    first = coco_recipe(rung, pretraining).annealing.first_window(COCO_STEPS)
    return annealing_windows(len(RELEASED_WINDOWS[rung, pretraining]), first_window=first)


@lru_cache
def _large(rung: str, pretraining: str) -> nn.Module:
    with torch.device("meta"):
        return build_model(
            rung,
            size="large",
            pretraining=pretraining,
            image_size=640,
            num_classes=133,
            load_weights=False,
        )
