"""Two ladders in two panels, whose axes may be compared."""

import itertools

import pandas as pd
import pytest
from matplotlib.text import Text

from eomtlib.models.ladder import LADDER
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


@pytest.mark.parametrize("said", ["CPU", "CPU " * 22, "CPU " * 34])
def test_labels_are_clear_of_markers_and_of_the_front_and_small_print_is_written_once(said):
    printed = load_paper_table("eomt_table1_ladder")
    measured = pd.DataFrame(
        {
            "rung": list(LADDER),
            "fps": [41.0, 65.0, 102.0, 107.0, 131.0, 173.0, 119.0],
            "pq": [73.2, 74.8, 73.9, 74.8, 70.2, 68.9, 69.2],
            "pq_std": [0.4, 1.3, 1.2, 1.1, 1.3, 1.5, 0.5],
        }
    )
    fig = plot_beside_printed({"Printed": ("H100", printed), "Measured": (said, measured)})
    fig.canvas.draw()
    heights = {
        text.get_window_extent().y0
        for text in fig.findobj(Text)
        if text.get_text() in ("Printed", "Measured")
    }
    assert len(heights) == 1
    for ax, rows in zip(fig.axes, (printed, measured), strict=True):
        titles = [LADDER[rung].title for rung in rows["rung"]]
        boxes = [text.get_window_extent() for text in ax.texts if text.get_text() in titles]
        assert len(boxes) == len(rows)
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        (front,) = (line for line in ax.lines if line.get_linestyle() == "--")
        drawn = ax.transData.transform_path(front.get_path())
        marked = [line for line in ax.lines if len(line.get_xydata()) == 1]
        for box in boxes:
            assert not drawn.intersects_bbox(box, filled=False)
            assert not any(box.contains(*ax.transData.transform(m.get_xydata()[0])) for m in marked)
    below = [text.get_text() for text in fig.texts]
    assert len(below) == 1
    assert below[0].count("Dashed") == below[0].count("Bars") == 1
