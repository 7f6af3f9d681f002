"""The papers' tables, printed and measured."""

from eomtlib.report.papers.catalogue import (
    PRINTED_TABLES,
    ModelRow,
    PrintedTable,
    compared_model,
)
from eomtlib.report.papers.filling import fill, machines, read_records

__all__ = [
    "PRINTED_TABLES",
    "ModelRow",
    "PrintedTable",
    "compared_model",
    "fill",
    "machines",
    "read_records",
]
