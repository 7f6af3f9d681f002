"""The papers' tables, printed and measured."""

from eomtlib.report.papers.catalogue import PRINTED_TABLES, ModelRow, PrintedTable
from eomtlib.report.papers.filling import count_model, fill, machines, read_records

__all__ = [
    "PRINTED_TABLES",
    "ModelRow",
    "PrintedTable",
    "count_model",
    "fill",
    "machines",
    "read_records",
]
