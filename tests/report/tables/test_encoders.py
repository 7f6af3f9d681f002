"""The page on encoders says what they cost."""

from pathlib import Path

import pytest

from eomtlib.report.tables import encoders_table
from eomtlib.report.tables.encoders import NAMES

PAGE = Path(__file__).parents[3] / "docs" / "encoders.md"


def test_a_few_rows_of_the_page():
    names = list(NAMES.items())[::8]
    assert all(row in PAGE.read_text() for row in encoders_table(dict(names)).splitlines()[2:])


@pytest.mark.slow
def test_all_rows_of_the_page():
    assert encoders_table() in PAGE.read_text()
