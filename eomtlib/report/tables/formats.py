"""How figures are written: digits, dashes, spreads."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from eomtlib.core.words import ACCURACIES

HEADINGS = {
    "params_m": "params (M)",
    "gmacs": "GMACs",
    "fps": "FPS",
    "fps_spread": "FPS ± (%)",
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
    "without": "seeds without a value",
    "steps": "steps",
    "train_minutes": "training (min)",
    "peak_memory": "peak memory (GiB)",
    "mode": "mode",
    "attention": "attention kernel",
}
"""Column of a measured table → how it is headed."""

_DECIMALS = {"steps": 0, "seeds": 0, "params (M)": 2, "GMACs": 2}


def style(table: pd.DataFrame) -> Styler:
    """A table of groups for the eye: rounded, empty cells as a dash, the best in bold.

    The standard deviation over seeds stands behind its mean.
    """
    centred = {"selector": "th.col_heading.level0", "props": "text-align: center"}
    return style_cells(table, language="html").set_table_styles([centred])


def style_cells(table: pd.DataFrame, *, language: str) -> Styler:
    """``style`` without what is said of headings in CSS, which LaTeX cannot take.

    Args:
        table: of groups.
        language: ``html`` or ``latex``.
    """
    shown = table.rename(columns=HEADINGS, level=1)
    best = [("measured", name) for name in (*ACCURACIES.values(), "FPS", "FPS end to end")]
    best = [column for column in best if column in shown.columns]
    bold = shown[best].eq(shown[best].max())
    # The names of columns of ours, which nothing escapes.
    cells = written(table).rename_axis(index=lambda name: str(name or "").replace("_", " "))
    styled = cells.style.apply(
        lambda column: bold[column.name].map({True: "font-weight: bold", False: ""}), subset=best
    )
    return _escaped(styled.format(escape=language), language)


def written(table: pd.DataFrame) -> pd.DataFrame:
    """The cells of a table of groups as texts under their headings, spreads behind their means."""
    shown = table.rename(columns=HEADINGS, level=1)
    texts = {}
    for group, name in shown:
        if not name.endswith(", std"):
            values = shown[group, name]
            spreads = shown.get((group, f"{name}, std"), pd.Series(np.nan, values.index))
            cells = zip(values, spreads, strict=True)
            texts[group, name] = [cell(name, value, spread) for value, spread in cells]
    return pd.DataFrame(texts, table.index)


def style_plain(table: pd.DataFrame, *, language: str = "html") -> Styler:
    """Any other table for the eye: sensible digits, empty cells as a dash, no row numbers.

    Args:
        table: any with plain columns.
        language: ``html`` or ``latex``.
    """
    shown = _escaped(table.style.format(plain, escape=language), language)
    return shown.hide(axis="index") if isinstance(table.index, pd.RangeIndex) else shown


def _escaped(styled: Styler, language: str) -> Styler:
    """With headings of rows and columns that cannot be taken for markup."""
    return styled.format_index(escape=language).format_index(axis="columns", escape=language)


def plain(value: object) -> str:
    """Two decimals; small numbers, such as differences and learning rates, to three digits."""
    if pd.isna(value):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if value == 0 or value.is_integer():
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 0.01 else f"{value:.2e}"


def cell(name: str, value: object, spread: float) -> str:
    """A cell under a heading: three digits of a small speed, one decimal of a PQ."""
    if pd.isna(value) or isinstance(value, str):
        return "–" if pd.isna(value) else value
    if not pd.isna(spread):
        return f"{value:.1f} ± {spread:.1f}"
    if name.startswith("FPS"):
        return f"{value:.1f}" if value >= 10 else f"{value:.3g}"
    return f"{value:.{_DECIMALS.get(name, 1)}f}"
