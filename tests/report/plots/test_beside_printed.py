"""Two ladders in two panels, whose axes may be compared."""

import pandas as pd
import pytest

from eomtlib.report.papers.printed import load_paper_table
from eomtlib.report.plots.beside_printed import plot_beside_printed


def test_panels_have_the_same_axes_and_stand_against_their_own_first_rung():
    printed = load_paper_table("eomt_table1_ladder")
    measured = pd.DataFrame(
        {
            "rung": ["vit-adapter-m2f", "no-adapter", "eomt"],
            "fps": [50.0, 100.0, 200.0],
            "pq": [60.0, 55.0, 48.0],
            "pq_std": [2.0, 1.0, 1.5],
        }
    )
    fig = plot_beside_printed({"Printed": ("H100", printed), "Measured": ("CPU", measured)})
    left, right = fig.axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    assert right.get_ylim()[0] < 48 - 60 - 1.5
    drawn = [
        tuple(line.get_xydata()[0])
        for line in right.lines
        if line.get_marker() not in ("None", None) and len(line.get_xydata()) == 1
    ]
    assert set(drawn) >= {(1.0, 0.0), (2.0, -5.0), (4.0, -12.0)}
    ends = [tuple(line.get_xydata()[0]) for line in left.lines if len(line.get_xydata()) == 1]
    assert any(point == pytest.approx((128 / 29, 56.0 - 57.1)) for point in ends)
