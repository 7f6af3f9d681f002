"""Tables: measured beside printed, never mixed; as DataFrame, CSV, Markdown and LaTeX."""

from eomtlib.report.papers.printed import load_paper_table
from eomtlib.report.tables.brief import (
    brief,
    brief_changes,
    brief_printed,
    brief_records,
    brief_speed,
    caption,
    tidy,
)
from eomtlib.report.tables.encoders import encoders_table
from eomtlib.report.tables.formats import style, style_plain
from eomtlib.report.tables.frozen import frozen_table
from eomtlib.report.tables.measured import (
    ablation_table,
    beside_paper,
    change_table,
    closing_table,
    ladder_table,
    measured_table,
    records_table,
    seeds_note,
)
from eomtlib.report.tables.plan import plan_grid
from eomtlib.report.tables.question import effects
from eomtlib.report.tables.writing import save_table

__all__ = [
    "ablation_table",
    "beside_paper",
    "brief",
    "brief_changes",
    "brief_printed",
    "brief_records",
    "brief_speed",
    "caption",
    "change_table",
    "closing_table",
    "effects",
    "encoders_table",
    "frozen_table",
    "ladder_table",
    "load_paper_table",
    "measured_table",
    "plan_grid",
    "records_table",
    "save_table",
    "seeds_note",
    "style",
    "style_plain",
    "tidy",
]
