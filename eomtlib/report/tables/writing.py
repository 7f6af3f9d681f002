"""A table as files: CSV for programs, Markdown and LaTeX for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from eomtlib.core.atomic_files import write_file
from eomtlib.report.tables.formats import (
    HEADINGS,
    cell_format,
    merge_spread,
    plain,
    style_cells,
    style_plain,
)


def save_table(table: pd.DataFrame, path: Path, *, note: str = "") -> list[Path]:
    """Writes ``path`` with the endings .csv, .md and .tex; returns the three paths.

    Args:
        table: as ``measured_table`` returns it, or any with plain columns.
        path: without an ending.
        note: what must stand beside the figures, below the Markdown table and as a comment in the
            LaTeX.
    """
    if isinstance(table.columns, pd.MultiIndex):
        flat = table.copy()
        flat.columns = [f"{group} {HEADINGS.get(name, name)}" for group, name in table.columns]
        flat = flat.map(lambda v: round(v, 4) if isinstance(v, float) else v)
        markdown = _markdown(merge_spread(flat), _measured_cell)
        styled = style_cells(_escaped_index(table))
    else:
        flat = table.reset_index() if not isinstance(table.index, pd.RangeIndex) else table
        flat = flat.rename(columns=str)
        markdown = _markdown(flat.set_index(flat.columns[0]), lambda _, value: plain(value))
        escaped = flat.rename(columns=_latex).map(
            lambda value: _latex(value) if isinstance(value, str) else value
        )
        styled = style_plain(escaped)
    latex = styled.to_latex(hrules=True, convert_css=True)
    contents = {
        ".csv": flat.to_csv(index=isinstance(table.columns, pd.MultiIndex)),
        ".md": markdown + (f"\n{note}\n" if note else ""),
        ".tex": latex + (f"% {note}\n" if note else ""),
    }
    for suffix, text in contents.items():
        write_file(path.with_suffix(suffix), text)
    return [path.with_suffix(suffix) for suffix in contents]


def _escaped_index(table: pd.DataFrame) -> pd.DataFrame:
    """With names that LaTeX can set."""
    names = [_latex(str(name or "")) for name in table.index.names]
    return table.rename_axis(index=names)


def _latex(text: str) -> str:
    for special in "&%$#_{}":
        text = text.replace(special, f"\\{special}")
    return text


def _measured_cell(column: str, value: object) -> str:
    return cell_format(column.split(" ", 1)[1])(value)


def _markdown(table: pd.DataFrame, write: Callable[[str, object], str]) -> str:
    """A Markdown table; numbers rounded as on screen, empty cells as a dash."""
    header = [*(str(name or "") for name in table.index.names), *table.columns]
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for name, row in zip(table.index, table.itertuples(index=False), strict=True):
        cells = [
            "–" if pd.isna(value) else write(column, value)
            for column, value in zip(table.columns, row, strict=True)
        ]
        names = name if isinstance(name, tuple) else (name,)
        lines.append("| " + " | ".join([*map(str, names), *cells]) + " |")
    return "\n".join(lines) + "\n"
