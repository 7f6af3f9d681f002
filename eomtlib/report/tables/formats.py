"""How figures are written: digits, dashes, spreads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from eomtlib.core.words import ACCURACIES

HEADINGS = {
    "params_m": "params (M)",
    "gmacs": "GMACs",
    "fps": "FPS",
    "fps_end_to_end": "FPS end to end",
    "pq": "PQ",
    "pq_std": "PQ, std",
    "pq_things": "PQ things",
    "pq_stuff": "PQ stuff",
    "ap": "AP",
    "ap_std": "AP, std",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "miou": "mIoU",
    "miou_std": "mIoU, std",
    "seeds": "seeds",
    "steps": "steps",
    "train_minutes": "training (min)",
    "peak_memory": "peak memory (GiB)",
    "mode": "mode",
    "attention": "attention kernel",
}
"""Column of a measured table → how it is headed."""


def style(table: pd.DataFrame) -> Styler:
    """A table of groups for the eye: rounded, empty cells as a dash, the best in bold.

    The standard deviation over seeds stands behind its mean.
    """
    centred = {"selector": "th.col_heading.level0", "props": "text-align: center"}
    return style_cells(table).set_table_styles([centred])


def style_cells(table: pd.DataFrame) -> Styler:
    """``style`` without what is said of headings in CSS, which LaTeX cannot take."""
    shown = table.rename(columns=HEADINGS, level=1)
    best = [("measured", name) for name in (*ACCURACIES.values(), "FPS", "FPS end to end")]
    best = [column for column in best if column in shown.columns]
    bold = shown[best].eq(shown[best].max())
    shown = merge_spread(shown)
    formats = {column: cell_format(column[1]) for column in shown.columns}
    return shown.style.format(formats, na_rep="–").apply(
        lambda column: bold[column.name].map({True: "font-weight: bold", False: ""}), subset=best
    )


def merge_spread(table: pd.DataFrame) -> pd.DataFrame:
    """``PQ`` and ``PQ, std`` as one column of texts; without the latter where it is empty."""
    shown = table.copy()
    for column in list(table.columns):
        spread = _spread_of(column)
        if spread not in table.columns:
            continue
        if table[spread].notna().any():
            pairs = zip(table[column], table[spread], strict=True)
            shown[column] = pd.Series(
                [_with_spread(value, std) for value, std in pairs], table.index, dtype=object
            )
        shown = shown.drop(columns=[spread])
    return shown


def _spread_of(column: object) -> object:
    if isinstance(column, tuple):
        return (*column[:-1], f"{column[-1]}, std")
    return f"{column}, std"


def _with_spread(value: float, std: float) -> object:
    return value if pd.isna(std) else f"{value:.1f} ± {std:.1f}"


def style_plain(table: pd.DataFrame) -> Styler:
    """Any other table for the eye: sensible digits, empty cells as a dash, no row numbers."""
    shown = table.style.format(plain, na_rep="–")
    return shown.hide(axis="index") if isinstance(table.index, pd.RangeIndex) else shown


def plain(value: object) -> str:
    """Two decimals; small numbers, such as differences and learning rates, to three digits."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if value == 0 or value.is_integer():
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 0.01 else f"{value:.2e}"


def cell_format(name: str) -> Callable[[object], str]:
    """How a column's values are written: three digits of a small speed, one decimal of a PQ."""
    if name in ("mode", "attention kernel"):
        return str
    if name in ("steps", "seeds"):
        return "{:.0f}".format
    if name in ("params (M)", "GMACs"):
        return "{:.2f}".format
    if name.startswith("FPS"):
        return lambda value: f"{value:.1f}" if value >= 10 else f"{value:.3g}"
    return lambda value: value if isinstance(value, str) else f"{value:.1f}"
