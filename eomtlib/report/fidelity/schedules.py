"""What the recipes come to in steps, beside the step lists of the released configurations."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from eomtlib.core.words import NUM_CLASSES
from eomtlib.models.build import build_model
from eomtlib.models.ladder import HEAD_SIZES, LADDER
from eomtlib.training.hyperparameters import Recipe
from eomtlib.training.masking import Window, masking_probabilities, windows_of
from eomtlib.training.optimization import lr_factor, parameter_groups, warmup_lengths
from eomtlib.training.recipes import recipe

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


_RECIPES = {
    "EoMT, DINOv2, COCO": ("panoptic", "coco", "eomt", "large", "dinov2"),
    "EoMT, DINOv2, ADE20K semantic": ("semantic", "ade20k", "eomt", "large", "dinov2"),
    "EoMT, DINOv2, Cityscapes": ("semantic", "cityscapes", "eomt", "large", "dinov2"),
    "EoMT, DINOv3, COCO": ("panoptic", "coco", "eomt", "large", "dinov3"),
    "EoMT, DINOv3, COCO instance": ("instance", "coco", "eomt", "large", "dinov3"),
    "EoMT-S, DINOv3, COCO": ("panoptic", "coco", "eomt", "small", "dinov3"),
    "EoMT, DINOv3, ADE20K semantic": ("semantic", "ade20k", "eomt", "large", "dinov3"),
    "PMT, DINOv3, COCO": ("panoptic", "coco", "pmt", "large", "dinov3"),
    "PMT, DINOv3, ADE20K semantic": ("semantic", "ade20k", "pmt", "large", "dinov3"),
}
"""Those that differ from each other: task, data set, rung, size, pretraining."""


def recipe_table() -> pd.DataFrame:
    """The recipes that differ, a column each, at ViT-L unless said otherwise."""
    columns = {}
    for name, (task, dataset, rung, size, pretraining) in _RECIPES.items():
        found = recipe(task, dataset, rung, size=size, pretraining=pretraining)
        columns[name] = _stated(found, frozen=LADDER[rung].frozen_encoder)
    return pd.DataFrame(columns)


def window_table() -> pd.DataFrame:
    """Masking windows in steps: computed, released, and how far they lie apart."""
    columns = ["rung", "pretraining", "block", "start", "start released", "end", "end released"]
    rows = []
    for (rung, pretraining), released in RELEASED_WINDOWS.items():
        computed = coco_windows(rung, pretraining)
        for block, (ours, theirs) in enumerate(zip(computed, released, strict=True)):
            start, end = (round(share * COCO_STEPS, 3) for share in ours)
            rows.append((rung, pretraining, block, start, theirs[0], end, theirs[1]))
    table = pd.DataFrame(rows, columns=columns)
    apart = [(table[end] - table[f"{end} released"]).abs() for end in ("start", "end")]
    return table.assign(**{"largest difference": np.maximum(*apart)})


def learning_rate_table() -> pd.DataFrame:
    """Learning rates of parameters of every depth at the steps where schedules turn.

    A row for each recipe and kind of parameter, a column for each of ``STEPS``; COCO at ViT-L.
    """
    rows = []
    for rung, pretraining in RELEASED_WINDOWS:
        for name in peak_rates(rung, pretraining):
            row: dict[str, object] = {"rung": rung, "pretraining": pretraining, "parameters": name}
            rates = learning_rates(rung, pretraining, name, steps=STEPS)
            rows.append(row | {f"step {s}": rate for s, rate in zip(STEPS, rates, strict=True)})
    return pd.DataFrame(rows)


def learning_rates(
    rung: str, pretraining: str, parameters: str, *, steps: Iterable[float]
) -> list[float]:
    """The learning rates of one kind of ``peak_rates`` at some steps; ViT-L, COCO."""
    config = coco_recipe(rung, pretraining).optimizer
    peak, is_encoder = peak_rates(rung, pretraining)[parameters]
    return [
        peak * lr_factor(step, COCO_STEPS, is_encoder=is_encoder, config=config) for step in steps
    ]


_TITLES = {"eomt": "EoMT-L", "pmt": "PMT-L"}
_SHADES = {
    "queries and heads": "#1b1b1b",
    "block 23": "#1f6fb4",
    "block 19": "#6aa5d8",
    "block 0": "#c44e52",
}


def plot_schedules() -> Figure:
    """A column for each recipe: learning rates above, the probability of each mask below."""
    fig, axes = plt.subplots(
        2, len(RELEASED_WINDOWS), figsize=(11, 5.4), sharex=True, sharey="row", layout="constrained"
    )
    steps = np.linspace(0, COCO_STEPS, 1500)
    for (above, below), (rung, pretraining) in zip(axes.T, RELEASED_WINDOWS, strict=True):
        for name in [name for name in peak_rates(rung, pretraining) if name in _SHADES]:
            rates = learning_rates(rung, pretraining, name, steps=steps)
            above.plot(steps / COCO_STEPS, rates, color=_SHADES[name], lw=1.6, label=name)
        windows = coco_windows(rung, pretraining)
        curves = np.array([masking_probabilities(s / COCO_STEPS, windows) for s in steps])
        for block, (start, end) in enumerate(windows):
            shade = plt.cm.viridis(0.85 * block / max(1, len(windows) - 1))
            style = {"color": shade, "fontsize": 8, "ha": "center"}
            below.plot(steps / COCO_STEPS, curves[:, block], color=shade, lw=1.6)
            below.text((start + end) / 2, 1.04, str(block + 1), **style)
        above.set_title(f"{_TITLES[rung]}, {pretraining.replace('dino', 'DINO')}", fontsize=10)
        below.set_xlabel("progress")
        for ax in (above, below):
            ax.spines[["top", "right"]].set_visible(False)
            ax.set_xlim(0, 1)
    axes[0, 0].set_ylabel("learning rate")
    axes[1, 0].set_ylabel("a query's mask applies\n(probability, by block)")
    axes[1, 0].set_ylim(-0.02, 1.14)
    axes[0, 1].legend(fontsize=8, frameon=False, loc="upper right")
    axes[0, 0].ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    return fig


def _stated(found: Recipe, *, frozen: bool) -> dict[str, object]:
    optimizer, first = found.optimizer, found.annealing.first_window_steps
    exempt = f"the last {optimizer.exempt_blocks}" if optimizer.exempt_blocks else "none"
    warmup = (f"{length:.0f}" for length in warmup_lengths(optimizer, COCO_STEPS))
    of_encoder = {
        "encoder's, times": optimizer.encoder_lr_factor,
        "layer-wise decay": optimizer.layer_decay,
        "blocks exempt from it": exempt,
    }
    return {
        "epochs": found.epochs,
        "batch size": found.batch_size,
        "learning rate": optimizer.lr,
        **(dict.fromkeys(of_encoder, "frozen") if frozen else of_encoder),
        "warm-up (steps)": " + ".join(warmup),
        "schedule": optimizer.schedule,
        "weight decay": optimizer.weight_decay,
        "gradient clipping": found.gradient_clip,
        "scale jitter": "{} to {}".format(*found.augmentation.scale),
        "colour jitter": "yes" if found.augmentation.hue else "no",
        "first masking window": f"steps 0 to {first}" if first else "the common rule",
    }


@lru_cache
def peak_rates(rung: str, pretraining: str) -> dict[str, tuple[float, bool]]:
    """Kind of parameter → its peak learning rate, and whether it is the encoder's; ViT-L, COCO."""
    with torch.device("meta"):
        model = build_model(
            rung,
            size="large",
            pretraining=pretraining,
            image_size=640,
            num_classes=NUM_CLASSES["coco", "panoptic"],
            load_weights=False,
        )
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
    annealing = coco_recipe(rung, pretraining).annealing
    blocks = len(RELEASED_WINDOWS[rung, pretraining])
    return windows_of(annealing, blocks, total_steps=COCO_STEPS)
