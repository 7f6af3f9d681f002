"""The figures of an evaluation."""

import itertools
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

matplotlib.use("Agg")

from eomtlib.core.structures import ClassInfo
from eomtlib.evaluation.metrics.confusion import as_texts
from eomtlib.report import evaluated
from eomtlib.report.plots import plot_confusion, plot_segmentations
from tests.evaluation.test_evaluate import CLASSES, Coloured, oracle, segmenter
from tests.samples import evaluation


def confusion(count, seed=0):
    draws = np.random.default_rng(seed)
    counts = (100 * draws.pareto(0.6, (count + 1, count + 1))).astype(int)
    counts[-1] = 0
    return counts


@pytest.mark.parametrize("count", [2, 11, 20, 133])
def test_a_matrix_of_any_number_of_classes_can_be_read(count):
    names = [f"{'a long name of class' if k % 3 else 'class'} {k}" for k in range(count)]
    fig = plot_confusion(confusion(count), names, note="short training")
    fig.canvas.draw()
    (ax,) = fig.axes
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert len(labels) <= 25
        boxes = [Text.get_window_extent(label) for label in labels]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    inside = ax.get_window_extent()
    note = fig.texts[0].get_window_extent()
    for text in ax.texts:
        assert inside.contains(*text.get_window_extent().get_points().mean(0))
        assert not text.get_window_extent().overlaps(note)
    assert ("of 133" in fig.texts[0].get_text()) == (count == 133)


def test_of_many_classes_the_largest_confusions_are_shown():
    counts = np.diag([1000] * 51)
    counts[40, 7], counts[3, 44] = 9000, 3000
    ax = plot_confusion(counts, [f"class {k}" for k in range(50)]).axes[0]
    rows = [label.get_text().rpartition("  ")[0] for label in ax.get_yticklabels()]
    assert {"class 3", "class 7", "class 40", "class 44"} <= set(rows)
    shown = {
        (rows[round(t.get_position()[1])], t.get_text())
        for t in ax.texts
        if t.get_text() in ("90", "75")
    }
    assert shown == {("class 40", "90"), ("class 3", "75")}


def test_a_class_name_draws_no_formula_and_nothing_where_nothing_was_counted(tmp_path):
    plot_confusion(np.ones((3, 3), int), ["$x_", "<b>"]).canvas.draw()
    record = evaluation()
    assert evaluated.write_figures(tmp_path, record, dataset=None, segmenter=None) == []


def test_the_worst_images_stand_in_their_order_beside_their_targets(tmp_path, monkeypatch):
    drawn = {}

    def plot(images, rows, **options):
        drawn.update(images=images, rows=rows, **options)
        return plot_segmentations(images, rows, **options)

    class Named(Coloured):
        def source(self, index):
            return int(self.image_ids[index]), f"photo {self.image_ids[index]}.png"

    monkeypatch.setattr(evaluated, "plot_segmentations", plot)
    record = replace(
        evaluation(per_class={info.name: {} for info in CLASSES}),
        confusion=as_texts(np.eye(4, dtype=int).tolist()),
        worst_images={"9": 3.0, "7": 12.5},
    )
    written = evaluated.write_figures(
        tmp_path, record, dataset=Named(), segmenter=segmenter(oracle, "panoptic")
    )
    assert [path.name for path in written] == ["confusion.png", "worst-images.png"]
    assert all(path.stat().st_size for path in written)
    assert drawn["titles"] == ["photo 9.png\nPQ 3.0", "photo 7.png\nPQ 12.5"]
    assert [image.shape[:2] for image in drawn["images"]] == [(24, 32), (32, 20)]
    for (target, labels), (found, found_labels) in zip(*drawn["rows"].values(), strict=True):
        # The oracle's classes are those of the target, whatever number its segments have.
        assert (np.array(labels)[target] == np.array(found_labels)[found]).all()


def test_images_go_on_in_further_lines():
    image, ids = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), int)
    fig = plot_segmentations(
        [image] * 7,
        {"target": [(ids, [0])] * 7},
        classes=[ClassInfo("a", True, 0)],
        titles=[f"image {k}" for k in range(7)],
        per_line=3,
    )
    titles = {ax.get_title(): ax for ax in fig.axes if ax.get_title()}
    assert len(titles) == 7
    assert sum(bool(ax.images) for ax in fig.axes) == 14
    places = [titles[f"image {k}"].get_subplotspec() for k in (0, 2, 3, 6)]
    assert [(p.rowspan.start, p.colspan.start) for p in places] == [(0, 0), (0, 2), (2, 0), (4, 0)]
