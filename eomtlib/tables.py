"""Tables: measured beside printed, never mixed; as DataFrame, CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from eomtlib.files import write_atomically
from eomtlib.ladder import LADDER
from eomtlib.records import TimingRecord
from eomtlib.results import load_paper_table
from eomtlib.study import RungResult

_MEASURED = {
    "params_m": "params (M)",
    "gmacs": "GMACs",
    "fps": "FPS",
    "fps_end_to_end": "FPS end to end",
    "pq": "PQ",
    "pq_things": "PQ things",
    "pq_stuff": "PQ stuff",
    "steps": "steps",
    "train_minutes": "training (min)",
    "peak_memory": "peak memory (GiB)",
    "mode": "mode",
    "attention": "attention kernel",
}
_PAPER = ("params_m", "gmacs", "fps", "pq", "pq_things", "pq_stuff")


def ladder_table() -> pd.DataFrame:
    """What each rung loses and why the papers ask for it."""
    rows = [
        {"step": r.step, "rung": r.name, "model": r.title, "it loses": r.loses, "why": r.why}
        for r in LADDER.values()
    ]
    return pd.DataFrame(rows).set_index("step")


def ablation_table(results: Sequence[RungResult]) -> pd.DataFrame:
    """One row per rung: columns ``measured`` (this machine's) and ``paper`` (EoMT, Table 1)."""
    measured = pd.DataFrame(
        [_measured_row(result) for result in results],
        columns=["rung", *_MEASURED],
    ).set_index("rung")
    paper = load_paper_table("eomt_table1_ladder").set_index("rung")
    printed = paper.reindex(measured.index)[list(_PAPER)]
    return pd.concat({"measured": measured, "paper": printed}, axis=1)


def _measured_row(result: RungResult) -> dict[str, object]:
    row: dict[str, object] = {
        "rung": result.rung,
        "params_m": result.timing.params_m,
        "gmacs": result.timing.gmacs,
        "fps": result.timing.fps_model,
        "fps_end_to_end": result.timing.fps_end_to_end,
        "mode": _mode(result.rung, result.timing),
        "attention": result.timing.attention_kernel,
    }
    if result.evaluation is not None:
        row |= {name: result.evaluation.metrics[name] for name in ("pq", "pq_things", "pq_stuff")}
    if result.training is not None:
        row |= {
            "steps": result.training.steps,
            "train_minutes": result.training.wall_time_s / 60,
            "peak_memory": result.training.peak_memory_mib / 1024,
        }
    return row


def _mode(rung: str, timing: TimingRecord) -> str:
    said = f"{timing.mode}, {timing.dtype}"
    if LADDER[rung].has_deformable_attention:
        said += f", {timing.sampler} sampler"
    return said


def style(table: pd.DataFrame) -> Styler:
    """A table for the eye: rounded, empty cells as a dash, the best PQ and FPS in bold."""
    shown = table.rename(columns=_MEASURED, level=1)
    formats = {column: _formatter(column[1]) for column in shown.columns}
    best = [("measured", name) for name in ("PQ", "FPS", "FPS end to end")]
    best = [column for column in best if column in shown.columns]
    return (
        shown.style.format(formats, na_rep="–")
        .highlight_max(subset=best, props="font-weight: bold")
        .set_table_styles([{"selector": "th.col_heading.level0", "props": "text-align: center"}])
    )


def style_plain(table: pd.DataFrame) -> Styler:
    """Any other table for the eye: sensible digits, empty cells as a dash, no row numbers."""
    shown = table.style.format(_plain, na_rep="–")
    return shown.hide(axis="index") if isinstance(table.index, pd.RangeIndex) else shown


def _plain(value: object) -> str:
    """Two decimals; small numbers, such as differences and learning rates, to three digits."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if value == 0 or value.is_integer():
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 0.01 else f"{value:.2e}"


def save_table(table: pd.DataFrame, path: Path, *, note: str = "") -> list[Path]:
    """Writes ``path`` with the endings .csv, .md and .tex; returns the three paths.

    Args:
        table: as ``ablation_table`` returns it, or any with plain columns.
        path: without an ending.
        note: what must stand beside the figures, below the Markdown and the LaTeX table.
    """
    if isinstance(table.columns, pd.MultiIndex):
        flat = table.copy()
        flat.columns = [f"{group} {_MEASURED.get(name, name)}" for group, name in table.columns]
        flat = flat.map(lambda v: round(v, 4) if isinstance(v, float) else v)
        markdown, styled = _markdown(flat, _measured_cell), style(table)
    else:
        flat = table.reset_index() if not isinstance(table.index, pd.RangeIndex) else table
        flat = flat.rename(columns=str)
        markdown = _markdown(flat.set_index(flat.columns[0]), lambda _, value: _plain(value))
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
        write_atomically(path.with_suffix(suffix), lambda file, t=text: file.write(t.encode()))
    return [path.with_suffix(suffix) for suffix in contents]


def _latex(text: str) -> str:
    for special in "&%$#_{}":
        text = text.replace(special, f"\\{special}")
    return text


def _measured_cell(column: str, value: object) -> str:
    return _formatter(column.split(" ", 1)[1])(value)


def _markdown(table: pd.DataFrame, write: Callable[[str, object], str]) -> str:
    """A Markdown table; numbers rounded as on screen, empty cells as a dash."""
    header = [str(table.index.name or ""), *table.columns]
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for name, row in zip(table.index, table.itertuples(index=False), strict=True):
        cells = [
            "–" if pd.isna(value) else write(column, value)
            for column, value in zip(table.columns, row, strict=True)
        ]
        lines.append("| " + " | ".join([str(name), *cells]) + " |")
    return "\n".join(lines) + "\n"


def _formatter(name: str) -> Callable[[object], str]:
    """How a column's values are written: three digits of a small speed, one decimal of a PQ."""
    if name in ("mode", "attention kernel"):
        return str
    if name == "steps":
        return "{:.0f}".format
    if name in ("params (M)", "GMACs"):
        return "{:.2f}".format
    if name.startswith("FPS"):
        return lambda value: f"{value:.1f}" if value >= 10 else f"{value:.3g}"
    return "{:.1f}".format
