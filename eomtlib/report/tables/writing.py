"""A table as files: CSV for programs, Markdown and LaTeX for people."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from eomtlib.core.escaping import for_markdown
from eomtlib.core.files.atomic_files import write_file
from eomtlib.report.tables.formats import HEADINGS, plain, style_cells, style_plain, written


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
        texts = written(table)
        texts.columns = [" ".join(column) for column in texts]
        styled = style_cells(table, language="latex")
        is_number = [texts[column].str.fullmatch(r"[-+.e\d–]+").all() for column in texts]
        aligned = "l" * table.index.nlevels + "".join("r" if right else "l" for right in is_number)
    else:
        flat = table.reset_index() if not isinstance(table.index, pd.RangeIndex) else table
        flat = flat.rename(columns=str)
        texts = flat.set_index(flat.columns[0]).map(plain)
        styled, aligned = style_plain(flat, language="latex"), None
    latex = styled.to_latex(hrules=True, convert_css=True, column_format=aligned)
    contents = {
        ".csv": flat.to_csv(index=isinstance(table.columns, pd.MultiIndex)),
        ".md": _markdown(texts) + (f"\n{for_markdown(note)}\n" if note else ""),
        ".tex": latex + (f"% {' '.join(note.split())}\n" if note else ""),
    }
    for suffix, text in contents.items():
        write_file(path.with_suffix(suffix), text)
    return [path.with_suffix(suffix) for suffix in contents]


def _markdown(texts: pd.DataFrame) -> str:
    """A Markdown table of cells that are written already."""
    header = [*(name or "" for name in texts.index.names), *texts.columns]
    lines = [_row(header), "|" + " --- |" * len(header)]
    for name, row in zip(texts.index, texts.itertuples(index=False), strict=True):
        names = name if isinstance(name, tuple) else (name,)
        lines.append(_row([*names, *row]))
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(for_markdown(str(cell)) for cell in cells) + " |"
