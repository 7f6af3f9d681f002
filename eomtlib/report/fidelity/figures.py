"""How learning rates and masks go over a run, drawn from the recipes."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from eomtlib.report.fidelity.schedules import (
    COCO_STEPS,
    RELEASED_WINDOWS,
    coco_recipe,
    coco_windows,
    peak_rates,
)
from eomtlib.training.masking import masking_probabilities
from eomtlib.training.optimization import lr_factor

_TITLES = {"eomt": "EoMT-L", "pmt": "PMT-L"}
_RATES = {
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
        config = coco_recipe(rung, pretraining).optimizer
        for name, (peak, is_encoder) in peak_rates(rung, pretraining).items():
            if name in _RATES:
                rates = [
                    peak * lr_factor(s, COCO_STEPS, is_encoder=is_encoder, config=config)
                    for s in steps
                ]
                above.plot(steps / COCO_STEPS, rates, color=_RATES[name], lw=1.6, label=name)
        windows = coco_windows(rung, pretraining)
        curves = np.array([masking_probabilities(s / COCO_STEPS, windows) for s in steps])
        for block, (start, end) in enumerate(windows):
            shade = plt.cm.viridis(0.85 * block / max(1, len(windows) - 1))
            below.plot(steps / COCO_STEPS, curves[:, block], color=shade, lw=1.6)
            below.text(
                (start + end) / 2, 1.04, str(block + 1), ha="center", fontsize=8, color=shade
            )
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
