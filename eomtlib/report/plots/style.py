"""What every figure has in common: colours, markers, frames, and how figures are written.

Colours and markers belong to rungs, line styles to pretrainings and sizes of points to sizes of
encoders; they are the same in every figure. Rungs are told apart by shape and label as well as by
colour, so that a figure survives grey print.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from eomtlib.core.escaping import for_matplotlib
from eomtlib.core.words import PRETRAININGS, SIZES

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
SIZE_POINTS = dict(zip(SIZES, (6, 7.5, 9, 10.5, 12, 13.5), strict=True))
"""Size of the encoder → size of a point in printer's points."""
_LINES = ("-", "--", (0, (3, 1, 1, 1)), "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_LINES += ((0, (1, 3)), (0, (8, 3)))
_PRETRAINING_LINES = dict(zip(PRETRAININGS, _LINES, strict=True))
GREY = "#777777"
HALO = [withStroke(linewidth=2.5, foreground="white")]
"""Of a label: a line that cannot but pass through it passes behind its letters."""
HOLLOW = {"mfc": "white", "mew": 1.6}
"""What tells the marker of a training that has not ended; its edge has the rung's colour."""


def pretraining_lines(names: Sequence[str]) -> dict[str, Any]:
    """Pretraining → style of its line; timm's names get what the others leave."""
    others = [name for name in names if name not in _PRETRAINING_LINES]
    free = [line for name, line in _PRETRAINING_LINES.items() if name not in names]
    return _PRETRAINING_LINES | dict(zip(others, cycle(free or _LINES), strict=False))


def finish(
    ax: Axes,
    title: str = "",
    notes: Sequence[str] = (),
    *,
    subtitle: str = "",
    beside: Sequence[str] = (),
) -> None:
    """A light grid, no box, the title on the left, and what must be said below the figure.

    Args:
        ax: of the figure.
        title: what is shown.
        notes: small print below.
        subtitle: what it was measured under, in small letters below the title.
        beside: subtitles of other panels, whose titles are to stand as high.
    """
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    panel = ax.figure.get_size_inches()[0] / ax.get_subplotspec().get_gridspec().ncols
    width = int(0.87 * panel * 72 / 4.4)  # less what is beside it
    lines, *others = (textwrap.wrap(text, width=width) for text in (subtitle, *beside))
    lines += [""] * (max(map(len, others), default=0) - len(lines))
    if title:
        pad = 6 + 10.5 * len(lines)
        ax.set_title(for_matplotlib(title), loc="left", fontsize=11, pad=pad)
    if lines:
        ax.annotate(
            for_matplotlib("\n".join(lines)), (0, 1), xytext=(0, 4), xycoords="axes fraction",
            textcoords="offset points", va="bottom", fontsize=8.5, color=GREY, linespacing=1.15,
        )  # fmt: skip
    small_print(ax.figure, notes)


def widen(ax: Axes, least: float = 10.0) -> None:
    """At least so many points from the bottom of an axis of accuracies to its top."""
    low, high = ax.get_ylim()
    if (missing := least - (high - low)) > 0:
        low = max(0.0, low - missing / 2) if low >= 0 else low - missing / 2
        ax.set_ylim(low, low + least)


def small_print(fig: Figure, notes: Sequence[str]) -> None:
    """Writes what must be said below a figure, each note as a sentence."""
    text = "  ".join(f"{note[0].upper()}{note[1:].rstrip('.')}." for note in notes if note)
    if text:
        # Letters of this size are about half as wide as high.
        text = textwrap.fill(text, width=int(fig.get_size_inches()[0] * 72 / 4.2))
        fig.text(0.01, -0.02, for_matplotlib(text), fontsize=8, color=GREY, va="top")


def save_figure(fig: Figure, path: Path, *, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Writes a figure as PNG and as SVG, or as it is told; returns the paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = [path.with_suffix(f".{name}") for name in formats]
    for target in paths:
        fig.savefig(target, dpi=150, bbox_inches="tight", facecolor="white")
    return paths
