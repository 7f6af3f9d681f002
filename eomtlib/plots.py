"""Figures: the Pareto plot, segmentations side by side, training curves, the ladder.

Colours and markers belong to rungs and are the same in every figure. They are told apart by shape
and label as well as by colour, so that a figure survives grey print.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

from eomtlib.ladder import LADDER

# Okabe and Ito's palette, which the colour-blind can tell apart.
RUNG_COLORS = {
    "vit-adapter-m2f": "#000000",
    "no-adapter": "#E69F00",
    "no-pixel-decoder": "#56B4E9",
    "single-scale": "#009E73",
    "eomt-masked": "#CC79A7",
    "eomt": "#D55E00",
    "pmt": "#0072B2",
}
RUNG_MARKERS = dict(zip(RUNG_COLORS, ("s", "D", "^", "v", "P", "o", "X"), strict=True))
_GREY = "#777777"
_LARGE_ENOUGH = 256


def plot_pareto(
    table: pd.DataFrame,
    *,
    x: str = "fps",
    y: str = "pq",
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Accuracy against speed, a labelled point for each rung and the front drawn through the best.

    Args:
        table: one row per rung, with the columns ``rung``, ``x`` and ``y``; rows without either
            value are left out, and said so in the figure.
        x: column of the speed.
        y: column of the accuracy.
        title: of the figure.
        note: small print below it, such as what the accuracies are worth.
        ax: drawn on instead of a new figure.
    """
    fig, ax = (ax.figure, ax) if ax is not None else plt.subplots(figsize=(7.2, 4.6))
    shown = table.dropna(subset=[x, y])
    front = _pareto_front(shown[x].to_numpy(float), shown[y].to_numpy(float))
    ax.plot(shown[x].iloc[front], shown[y].iloc[front], color=_GREY, lw=1.2, ls="--", zorder=1)
    for row in shown.itertuples():
        ax.plot(
            getattr(row, x),
            getattr(row, y),
            marker=RUNG_MARKERS[row.rung],
            color=RUNG_COLORS[row.rung],
            ms=9,
            mec="white",
            mew=0.8,
            ls="",
            zorder=3,
        )
    ax.set_xscale("log")
    ax.margins(0.16)
    ax.set_xlabel("images per second (FPS), model alone, batch 1")
    ax.set_ylabel("PQ (%)")
    ax.xaxis.set_major_formatter(plt.ScalarFormatter())
    ax.xaxis.set_minor_formatter(plt.NullFormatter())
    if len(shown):
        ax.set_xticks(_log_ticks(shown[x].min(), shown[x].max()))
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    if title:
        ax.set_title(title, loc="left", fontsize=11)
    fig.tight_layout()
    # Labels are placed last: their distances to points depend on the final layout.
    place_labels(
        ax,
        shown[x],
        shown[y],
        labels=[LADDER[r].title for r in shown["rung"]],
        rungs=shown["rung"],
        line=front,
    )
    left_out = sorted(set(table["rung"]) - set(shown["rung"]))
    notes = [note] if note else []
    if left_out:
        notes.append(f"No value for {', '.join(left_out)}.")
    if notes:
        fig.text(0.01, -0.02, "  ".join(notes), fontsize=8, color=_GREY, va="top")
    return fig


def place_labels(
    ax: Axes,
    xs: Sequence[float],
    ys: Sequence[float],
    *,
    labels: Sequence[str],
    rungs: Sequence[str],
    line: Sequence[int] = (),
) -> None:
    """Writes each label beside its point, clear of other labels, points, border and front.

    Args:
        ax: with its limits set.
        xs: of the points.
        ys: likewise.
        labels: their texts.
        rungs: whose colours they have.
        line: indices of the points that the front joins.
    """
    fig = ax.figure
    fig.canvas.draw()
    renderer = fig.canvas.get_renderer()
    points = ax.transData.transform(np.column_stack([xs, ys]))
    scale = fig.dpi / 72
    taken = [_square(point, 6 * scale) for point in points]
    for start, end in itertools.pairwise(points[list(line)]):
        taken += [_square(start + t * (end - start), scale) for t in np.linspace(0.05, 0.95, 60)]
    frame = ax.get_window_extent(renderer)
    order = np.argsort([-py for _, py in points])
    radii = (9, 16, 26, 38, 52, 70)
    directions = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
    for index in order:
        best = None
        for radius in radii:
            for dx, dy in directions:
                text = ax.annotate(
                    labels[index],
                    (list(xs)[index], list(ys)[index]),
                    xytext=(dx * radius, dy * radius),
                    textcoords="offset points",
                    ha="left" if dx > 0 else "right" if dx < 0 else "center",
                    va="bottom" if dy > 0 else "top" if dy < 0 else "center",
                    fontsize=8.5,
                    color=RUNG_COLORS[list(rungs)[index]],
                    arrowprops={"arrowstyle": "-", "color": _GREY, "lw": 0.5}
                    if radius > 16
                    else None,
                )
                # Of the text alone: an annotation's own extent holds its arrow as well.
                text.update_positions(renderer)
                box = Text.get_window_extent(text, renderer)
                rectangle = (box.x0 - 1, box.y0 - 1, box.x1 + 1, box.y1 + 1)
                inside = box.x0 >= frame.x0 and box.x1 <= frame.x1 + 40 * scale
                inside = inside and box.y0 >= frame.y0 and box.y1 <= frame.y1
                if inside and not any(_overlap(rectangle, other) for other in taken):
                    best = rectangle
                    break
                text.remove()
            if best:
                break
        if best:
            taken.append(best)
        else:
            ax.annotate(
                labels[index], (list(xs)[index], list(ys)[index]), fontsize=8.5, xytext=(9, 0),
                textcoords="offset points", color=RUNG_COLORS[list(rungs)[index]],
            )  # fmt: skip


def plot_curves(curves: Mapping[str, pd.DataFrame], *, num_masked: int | None = None) -> Figure:
    """Loss per predicted layer over training, and the masking probabilities of annealed rungs.

    Args:
        curves: rung → its logged values, with the columns ``step``, ``loss`` and ``masking_k``.
        num_masked: at most so many blocks' probabilities are drawn.
    """
    annealed = {r: c for r, c in curves.items() if LADDER[r].masking == "annealed"}
    fig, axes = plt.subplots(
        1, 2 if annealed else 1, figsize=(11 if annealed else 6.5, 3.9), squeeze=False
    )
    ax = axes[0, 0]
    for rung, frame in curves.items():
        frame = frame.dropna(subset=["loss"])
        smooth = frame["loss"].rolling(max(1, len(frame) // 12), min_periods=1).mean()
        ax.plot(
            frame["step"],
            smooth,
            color=RUNG_COLORS[rung],
            lw=1.5,
            marker=RUNG_MARKERS[rung],
            ms=5,
            markevery=max(1, len(frame) // 6),
            label=LADDER[rung].title,
        )
    ax.set_xlabel("step")
    ax.set_ylabel("loss per predicted layer (running mean)")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(plt.ScalarFormatter())
    ax.yaxis.set_minor_formatter(plt.ScalarFormatter())
    ax.legend(fontsize=8, frameon=False)
    if annealed:
        rung, frame = (
            next((r, c) for r, c in annealed.items() if r == "eomt")
            if ("eomt" in annealed)
            else next(iter(annealed.items()))
        )
        columns = [c for c in frame if c.startswith("masking_")][:num_masked]
        shades = plt.get_cmap("viridis")(np.linspace(0.1, 0.8, len(columns)))
        for column, shade, style in zip(columns, shades, ["-", "--", "-.", ":"] * 3, strict=False):
            block = int(column.removeprefix("masking_")) + 1
            axes[0, 1].plot(
                frame["step"], frame[column], color=shade, ls=style, label=f"query block {block}"
            )
        axes[0, 1].set_xlabel("step")
        axes[0, 1].set_ylabel("probability that a mask applies")
        axes[0, 1].set_title(f"mask annealing of {LADDER[rung].title}", loc="left", fontsize=10)
        axes[0, 1].legend(fontsize=8, frameon=False)
    for axis in axes.flat:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    return fig


def plot_segmentations(
    images: Sequence[np.ndarray],
    rows: Mapping[str, Sequence[tuple[np.ndarray, Sequence[int]]]],
    *,
    class_names: Sequence[str],
) -> Figure:
    """The same images segmented by every model, side by side.

    Args:
        images: each ``[H, W, 3]`` uint8.
        rows: title → for each image its map of segment ids ``[H, W]`` (−1 is void) and the class
            of each id.
        class_names: to look classes up for the legend.
    """
    columns = len(images)
    fig, axes = plt.subplots(
        len(rows) + 1, columns, figsize=(2.0 * columns + 1.7, 2.0 * (len(rows) + 1)), squeeze=False
    )
    # Small images are enlarged first, so that outlines are thin beside their pixels.
    factors = [max(1, _LARGE_ENOUGH // max(image.shape[:2])) for image in images]
    images = [_enlarge(image, factor) for image, factor in zip(images, factors, strict=True)]
    for axis, image in zip(axes[0], images, strict=True):
        axis.imshow(image)
    axes[0, 0].set_ylabel("image", rotation=0, ha="right", va="center", fontsize=9)
    present: set[int] = set()
    for row, (title, maps) in zip(axes[1:], rows.items(), strict=True):
        for axis, image, factor, (ids, labels) in zip(row, images, factors, maps, strict=True):
            enlarged = _enlarge(ids, factor)
            axis.imshow(overlay(image, enlarged, labels, num_classes=len(class_names)))
            present |= {labels[i] for i in np.unique(ids) if i >= 0}
        row[0].set_ylabel(
            title.replace(" + ", "\n+ "), rotation=0, ha="right", va="center", fontsize=9
        )
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    palette = class_palette(len(class_names))
    handles = [plt.Rectangle((0, 0), 1, 1, color=palette[i] / 255) for i in sorted(present)]
    names = [class_names[i] for i in sorted(present)]
    fig.tight_layout(h_pad=0.4, w_pad=0.4)
    if handles:
        per_row = max(2, columns + 1)
        shown = min(len(handles), 4 * per_row)
        fig.legend(
            handles[:shown], names[:shown], loc="upper center", bbox_to_anchor=(0.5, 0.0),
            ncols=per_row, fontsize=8, frameon=False,
        )  # fmt: skip
    return fig


def _enlarge(pixels: np.ndarray, factor: int) -> np.ndarray:
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def overlay(
    image: np.ndarray, ids: np.ndarray, labels: Sequence[int], *, num_classes: int
) -> np.ndarray:
    """An image with its segments tinted by class and outlined; void is darkened."""
    palette = class_palette(num_classes)
    lookup = np.vstack([palette[list(labels)] if len(labels) else palette[:0], [[0, 0, 0]]])
    tint = lookup[np.where(ids < 0, len(labels), ids)]
    mixed = 0.4 * image + 0.6 * tint
    edges = np.zeros(ids.shape, bool)
    edges[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edges[1:] |= ids[1:] != ids[:-1]
    mixed[edges] = 255
    return mixed.clip(0, 255).astype(np.uint8)


def class_palette(num_classes: int) -> np.ndarray:
    """``[num_classes, 3]`` colours 0 to 255, neighbours far apart in hue."""
    hues = (np.arange(num_classes) * 0.61803398875) % 1.0
    values = 0.95 - 0.35 * (np.arange(num_classes) % 3 == 1)
    hsv = np.column_stack([hues, np.full(num_classes, 0.75), values])
    return 255 * plt.matplotlib.colors.hsv_to_rgb(hsv)


def plot_ladder() -> Figure:
    """What each rung is made of, as a table of coloured boxes."""
    parts = list(dict.fromkeys(part for rung in LADDER.values() for part in rung.parts))
    parts.sort(key=lambda part: -sum(part in rung.parts for rung in LADDER.values()))
    fig, ax = plt.subplots(figsize=(11, 3.9))
    for rung in LADDER.values():
        y = len(LADDER) - 1 - rung.step
        ax.text(-0.15, y, f"{rung.step}  {rung.title}", ha="right", va="center", fontsize=10)
        for column, part in enumerate(parts):
            if part in rung.parts:
                box = FancyBboxPatch(
                    (column + 0.06, y - 0.32), 0.88, 0.64, boxstyle="round,pad=0,rounding_size=0.1",
                    fc=RUNG_COLORS[rung.name], alpha=0.85, ec="none",
                )  # fmt: skip
                ax.add_patch(box)
    for column, part in enumerate(parts):
        ax.text(
            column + 0.5, len(LADDER) - 0.4, part.replace(" ", "\n"), ha="center", va="bottom",
            fontsize=8.5,
        )  # fmt: skip
    ax.set_xlim(-3.1, len(parts))
    ax.set_ylim(-0.6, len(LADDER) + 0.7)
    ax.axis("off")
    fig.tight_layout()
    return fig


def save_figure(fig: Figure, path: Path) -> list[Path]:
    """Writes a figure as PNG and as SVG; returns both paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = [path.with_suffix(suffix) for suffix in (".png", ".svg")]
    for target in paths:
        fig.savefig(target, dpi=150, bbox_inches="tight", facecolor="white")
    return paths


def _pareto_front(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Indices of the points that no other beats in both, from slow to fast."""
    front = [
        i
        for i in range(len(x))
        if not any(
            x[j] >= x[i] and y[j] >= y[i] and (x[j] > x[i] or y[j] > y[i]) for j in range(len(x))
        )
    ]
    return sorted(front, key=lambda i: x[i])


def _log_ticks(low: float, high: float) -> list[float]:
    steps = [m * 10.0**e for e in range(-4, 5) for m in (1, 1.5, 2, 3, 5, 7)]
    inside = [s for s in steps if low * 0.8 <= s <= high * 1.25]
    return inside or [low, high]


def _square(centre: np.ndarray, half: float) -> tuple[float, float, float, float]:
    return centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
