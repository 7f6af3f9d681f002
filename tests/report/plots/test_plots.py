import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")

from matplotlib.text import Text

from eomtlib.core.structures import ClassInfo
from eomtlib.data.class_colors import class_colors
from eomtlib.models.ladder import LADDER
from eomtlib.report.papers.printed import load_paper_table
from eomtlib.report.plots import (
    RUNG_COLORS,
    RUNG_MARKERS,
    overlay,
    plot_changes,
    plot_curves,
    plot_ladder,
    plot_lines,
    plot_pareto,
    plot_segmentations,
    save_figure,
)
from eomtlib.report.plots.images.overlays import OPACITY, outlines

COLORS = class_colors([ClassInfo(str(i), True, i) for i in range(12)])


def crowded(seed):
    draws = np.random.default_rng(seed)
    return pd.DataFrame(
        {"rung": list(LADDER), "fps": 10 ** draws.uniform(1, 2, 7), "pq": draws.normal(50, 3, 7)}
    )


PAPER = load_paper_table("eomt_table1_ladder")
TOGETHER = pd.DataFrame({"rung": list(LADDER), "fps": [50.0] * 7, "pq": [1.0] * 7})


@pytest.mark.parametrize("table", [PAPER, TOGETHER, crowded(0), crowded(1), crowded(2)])
def test_labels_of_the_pareto_plot_do_not_overlap(table):
    fig = plot_pareto(table)
    fig.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in fig.axes[0].texts if text.get_text()]
    assert len(boxes) == len(table)
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)


def test_front_joins_what_nothing_beats_in_both():
    table = pd.DataFrame(
        {"rung": ["single-scale", "eomt", "pmt"], "fps": [10.0, 30.0, 20.0], "pq": [50, 40, 30]}
    )
    line = plot_pareto(table).axes[0].lines[0]
    assert list(line.get_xdata()) == [10.0, 30.0]


def test_a_training_that_has_not_ended_is_hollow_and_in_no_front():
    table = pd.DataFrame(
        {"rung": ["single-scale", "eomt", "pmt"], "fps": [10.0, 30.0, 20.0], "pq": [50, 40, 30]}
    )
    fig = plot_pareto(table.assign(unfinished=["", "step 5 of 9", ""]))
    front, *points = fig.axes[0].lines[:4]
    assert list(front.get_xdata()) == [10.0, 20.0]
    hollow = {line.get_marker(): line.get_markerfacecolor() == "white" for line in points}
    assert hollow == {RUNG_MARKERS[rung]: rung == "eomt" for rung in table["rung"]}
    assert any("has not ended" in text.get_text() for text in fig.texts)


def test_what_has_no_value_is_left_out_and_said():
    table = pd.DataFrame({"rung": ["eomt", "pmt"], "fps": [10.0, 20.0], "pq": [50.0, None]})
    fig = plot_pareto(table, note="short training")
    assert any("Short training." in t.get_text() and "PMT" in t.get_text() for t in fig.texts)
    plot_pareto(table.assign(pq=None))  # nothing was trained


def test_every_rung_has_a_colour_and_a_marker_of_its_own():
    assert set(RUNG_COLORS) == set(RUNG_MARKERS) == set(LADDER)
    assert len(set(RUNG_COLORS.values())) == len(set(RUNG_MARKERS.values())) == len(LADDER)


def sizes(seed):
    draws = np.random.default_rng(seed)
    return pd.DataFrame(
        [
            {"rung": rung, "size": size, "fps": fps, "pq": draws.normal(50, 5), "pq_std": 1.0}
            for rung, base in zip(LADDER, draws.uniform(20, 100, 7), strict=True)
            for size, fps in (("nano", base * 2), ("micro", base))
        ]
    )


@pytest.mark.parametrize("seed", range(3))
def test_curves_over_sizes_have_a_label_at_every_point_and_no_two_overlap(seed):
    fig = plot_pareto(sizes(seed), along="size")
    fig.canvas.draw()
    texts = [text for text in fig.axes[0].texts if text.get_text()]
    assert len(texts) == 14
    boxes = [Text.get_window_extent(text) for text in texts]
    overlaps = sum(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert overlaps == 0


def test_changes_are_filled_where_settled_and_hollow_where_not():
    changes = pd.DataFrame(
        {
            "rung": ["eomt", "pmt", "single-scale"],
            "against": "vit-adapter-m2f",
            "PQ": [-3.0, 1.0, -2.0],
            "from": [-4.0, -1.0, np.nan],
            "to": [-2.0, 3.0, np.nan],
            "from (all rows)": [-5.0, -2.0, np.nan],
            "to (all rows)": [-1.0, 4.0, np.nan],
            "what the seeds say": ["worse", "not settled", "one seed cannot say"],
        }
    )
    points = [line for line in plot_changes(changes).axes[0].lines if line.get_marker() != "None"]
    filled = {line.get_marker(): line.get_markerfacecolor() != "white" for line in points}
    assert filled == {
        RUNG_MARKERS["eomt"]: True,
        RUNG_MARKERS["pmt"]: False,
        RUNG_MARKERS["single-scale"]: False,  # one seed
    }
    models = changes.rename(columns={"rung": "model"}).assign(model=["PMT, taps 2", "b", "c"])
    drawn = plot_changes(models).axes[0]
    assert [label.get_text() for label in drawn.get_yticklabels()] == ["PMT, taps 2", "b", "c"]


def test_titles_at_the_ends_of_lines_do_not_overlap():
    table = pd.DataFrame(
        [
            {"rung": rung, "pretraining": p, "pq": 50 + 0.1 * step + gain}
            for step, rung in enumerate(LADDER)
            for p, gain in (("none", 0), ("mim", 5))
        ]
    )
    fig = plot_lines(table, x="pretraining")
    fig.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in fig.axes[0].texts]
    assert len(boxes) == 7
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_overlay_tints_by_class_and_outlines_segments():
    image = np.full((4, 6, 3), 100, np.uint8)
    ids = np.repeat([[0, 0, 0, 1, 1, -1]], 4, axis=0)
    shown = overlay(image, ids, [2, 2], colors=COLORS)
    assert (shown[:, 3] == 255).all()  # a border, though both sides are of one class
    assert (shown[:, 0] == shown[:, 4]).all()
    assert (shown[:, 5] == 255).all()
    assert not (shown[:, 1] == shown[:, 3]).all()


def test_a_tint_leaves_the_photo_to_be_seen():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    shown = overlay(image, np.zeros((40, 40), int), [5], colors=COLORS).astype(float)
    # What two pixels differ in shows by more than half, whatever the colour.
    contrast = np.ptp(shown, axis=(0, 1)) / np.ptp(image.astype(float), axis=(0, 1))
    assert (contrast > 0.55).all()
    assert abs(shown - image).max() <= OPACITY * 255 + 1


def test_the_legend_shows_what_the_picture_shows():
    grey = np.full((9, 9, 3), 128, np.uint8)
    ids = np.zeros((9, 9), int)
    ids[:, 6:] = -1
    classes = [ClassInfo("a", True, 1), ClassInfo("b", True, 2, (200, 30, 40))]
    fig = plot_segmentations([grey], {"model": [(ids, [1])]}, classes=classes)
    picture = fig.axes[1].images[0].get_array()
    swatches = [patch.get_facecolor()[:3] for patch in fig.legends[0].get_patches()]
    for column, swatch in ((20, swatches[0]), (-20, swatches[1])):
        assert np.allclose(picture[20, column] / 255, swatch, atol=0.01)


def test_overlays_of_many_rows_are_those_of_one_sum():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (300, 41, 3), dtype=np.uint8)
    ids, labels = rng.integers(-1, 9, (300, 41)), rng.integers(0, 12, 9).tolist()
    colours = np.vstack([COLORS[labels], [[0, 0, 0]]])
    expected = (0.7 * image + 0.3 * colours[ids]).astype(np.uint8)
    expected[outlines(ids)] = 255
    assert np.array_equal(overlay(image, ids, labels, colors=COLORS, opacity=0.3), expected)


def test_figures_are_written_as_png_and_svg(tmp_path):
    curves = pd.DataFrame({"step": [0, 1], "loss": [2.0, 1.0], "masking_0": [1.0, 0.0]})
    ids = np.zeros((8, 8), np.int64)
    for fig in (
        plot_ladder(),
        plot_curves({"eomt": curves, "single-scale": curves}),
        plot_segmentations(
            [np.zeros((8, 8, 3), np.uint8)],
            {"target": [(ids, [0])]},
            classes=[ClassInfo("disc", True, 1)],
        ),
    ):
        for path in save_figure(fig, tmp_path / "figure"):
            assert path.stat().st_size > 2000
