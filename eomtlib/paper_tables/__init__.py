"""The papers' tables, printed and measured."""

from eomtlib.paper_tables.catalogue import (
    PRINTED_TABLES,
    ModelRow,
    PrintedTable,
    compared_model,
)
from eomtlib.paper_tables.filling import fill, machines, read_records

__all__ = [
    "PRINTED_TABLES",
    "ModelRow",
    "PrintedTable",
    "compared_model",
    "fill",
    "machines",
    "read_records",
]
