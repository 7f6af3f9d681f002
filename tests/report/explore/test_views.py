import dataclasses
import itertools

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")

from eomtlib.core.structures import ClassInfo, SegmentMap
from eomtlib.data.class_colors import class_colors
from eomtlib.report.explore import plot_layers, plot_models, plot_queries
from eomtlib.report.explore.inspection import Inspection, Layer
from eomtlib.report.explore.panels import draw, heat, segmented
from eomtlib.report.explore.sources import Picture, Segments
from eomtlib.report.plots import enlarge, overlay

CLASSES = tuple(ClassInfo(name, True, i) for i, name in enumerate(["disc", "ring", "star"]))
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
TARGET = Segments(np.repeat([[0, 1, -1]], 32, 0).repeat(16, 1), (2, 0), CLASSES)
ANNOTATION = SegmentMap(
    torch.from_numpy(TARGET.ids[None]), torch.tensor([2, 0]), torch.zeros(2, dtype=torch.bool)
)


def layer(name, scores):
    """Four queries, each with a quarter of the width; the last one sees nothing."""
    masks = torch.full((4, 8, 12), -6.0)
    classes = torch.zeros(4, 4)
    for query in range(4):
        masks[query, :, 3 * query : 3 * query + 3] = 6
        index = query if query < 3 else 3
        classes[query, index] = np.log(3 * scores[query] / (1 - scores[query]))
    return Layer(name, masks[None], classes[None])


def seen(title="EoMT (nano)", layers=3, target=TARGET, note=""):
    made = [layer(f"after block {i}", [0.95, 0.9, 0.85 if i == layers - 1 else 0.4, 0.9])
            for i in range(layers)]  # fmt: skip
    return Inspection(
        title=title,
        picture=Picture("image 7", PIXELS, target, target and ANNOTATION, "panoptic"),
        classes=CLASSES,
        input_size=(32, 48),
        layers=tuple(made),
        note=note,
        label="short training",
        details="nano, seed 0",
    )


def texts(ax):
    return [text.get_text() for text in ax.texts]


def shown(ax):
    return np.asarray(ax.images[0].get_array())


def titles(fig):
    return [ax.get_title(loc="left").strip() for ax in fig.axes]


def test_the_overlay_shows_what_post_processing_returned():
    inspection = seen()
    segments = inspection.segments()
    assert segments.labels == (0, 1, 2)
    fig = plot_models([inspection])
    # No segment has half of its pixels in common with the target's of its class.
    assert titles(fig) == ["image", "target", "EoMT (nano)\nPQ 0.0"]
    assert (shown(fig.axes[0]) == enlarge(PIXELS, 5)).all()  # small images are enlarged
    expected = overlay(
        enlarge(PIXELS, 5), enlarge(segments.ids, 5), segments.labels, colors=class_colors(CLASSES)
    )
    assert (shown(fig.axes[2]) == expected).all()
    assert sorted(texts(fig.axes[2])) == ["disc 0.95", "ring 0.90", "star 0.85"]
    assert sorted(texts(fig.axes[1])) == ["disc", "star"]
    small_print = fig._supxlabel.get_text()
    assert "above 0.80" in " ".join(small_print.split())
    assert "Nano, seed 0. Short training." in " ".join(small_print.split())
    assert fig.alt.startswith("image 7 by 1 model. Panels: image; target; EoMT (nano)")
    assert fig._repr_png_()[1] == {"alt": fig.alt}


def test_what_all_models_share_is_said_once_and_no_threshold_where_none_acts():
    fig = plot_models([seen("EoMT"), seen("PMT")])
    assert fig._supxlabel.get_text().count("seed 0") == 1
    semantic = dataclasses.replace(seen(), task="semantic")
    said = " ".join(plot_models([semantic])._supxlabel.get_text().split())
    assert "0.80" not in said
    assert "no threshold acts" in said


def test_the_threshold_decides_what_is_shown():
    assert sorted(texts(plot_models([seen()], threshold=0.87).axes[2])) == [
        "disc 0.95",
        "ring 0.90",
    ]
    assert texts(plot_models([seen()], threshold=0.99).axes[2]) == []


def test_queries_show_their_masks_class_and_score():
    fig = plot_queries(seen(), count=4)
    first, segments, *queries = titles(fig)[:6]
    assert (first, segments) == ("image", "segments")
    assert [title.splitlines()[0] for title in queries] == [f"query {query}" for query in range(4)]
    assert queries[0].splitlines()[1] == "disc 0.95"
    assert "no object 0.90" in queries[3]
    mask = seen().masks([0])[0].numpy()
    assert (shown(fig.axes[2]) == heat(enlarge(PIXELS, 5), enlarge(mask, 5))).all()
    assert (shown(fig.axes[1]) == shown(plot_models([seen()]).axes[2])).all()
    # As many as there are in rows of five, and a scale.
    assert len(titles(plot_queries(seen(), count=100))) >= 2 + 4


def test_layers_end_with_the_final_prediction():
    whole = plot_layers(seen())
    assert titles(whole) == ["after block 0", "after block 1", "after block 2"]
    assert sorted(texts(whole.axes[0])) == ["disc 0.95", "ring 0.90"]
    assert (shown(whole.axes[2]) == shown(plot_models([seen()]).axes[2])).all()
    one = plot_layers(seen(), query=2)
    assert titles(one)[0].splitlines() == ["after block 0", "star 0.40"]
    assert titles(one)[2].splitlines() == ["after block 2", "star 0.85"]
    assert (shown(one.axes[2]) == shown(plot_queries(seen(), count=3).axes[4])).all()


def test_a_model_with_one_layer_says_why():
    fig = plot_layers(seen(layers=1, note="trained without masks: it predicts once"))
    assert "trained without masks" in " ".join(fig._supxlabel.get_text().split())


def test_models_stand_side_by_side_with_the_target():
    fig = plot_models([seen("EoMT with masking (nano)"), seen("EoMT (nano)", target=TARGET)])
    named = ["EoMT with masking (nano)\nPQ 0.0", "EoMT (nano)\nPQ 0.0"]
    assert titles(fig) == ["image", "target", *named]
    alone = plot_models([seen(target=None)])
    assert titles(alone) == ["image", "EoMT (nano)"]


def voronoi(seed, count, size):
    draws = np.random.default_rng(seed)
    points = draws.uniform(0, 1, (count, 2)) * size
    rows, columns = np.indices(size)
    distance = np.hypot(rows[..., None] - points[:, 0], columns[..., None] - points[:, 1])
    return distance.argmin(-1)


@pytest.mark.parametrize(
    ("count", "size", "seed"),
    [(1, (64, 64), 0), (12, (64, 64), 1), (40, (64, 64), 2), (25, (480, 640), 3), (9, (90, 60), 4)],
)
def test_labels_do_not_overlap_and_stay_inside(count, size, seed):
    ids = voronoi(seed, count, size)
    names = [f"{'long-' * (index % 4)}name {index}" for index in range(count)]
    classes = tuple(ClassInfo(name, True, index) for index, name in enumerate(names))
    segments = Segments(ids, tuple(range(count)), classes, tuple([0.5] * count))
    panel = segmented(Picture("black", np.zeros((*size, 3), np.uint8)), segments, "segments")
    fig = draw([panel] * 2, columns=2, width=2.6, title="crowded")
    for ax in fig.axes:
        frame = ax.get_window_extent()
        boxes = [text.get_window_extent() for text in ax.texts]
        assert len(boxes) >= min(count, 8)
        unnamed = f", {count - len(boxes)} unnamed"
        assert ax.get_title(loc="left") == "segments" + unnamed * (len(boxes) < count)
        for box in boxes:
            assert box.x0 >= frame.x0 - 1
            assert box.x1 <= frame.x1 + 1
            assert box.y0 >= frame.y0 - 1
            assert box.y1 <= frame.y1 + 1
        for a, b in itertools.combinations(boxes, 2):
            assert not a.overlaps(b)


@pytest.mark.parametrize("make", [lambda one: plot_models([one]), plot_queries, plot_layers])
def test_titles_and_notes_do_not_overlap_what_is_below_them(make):
    fig = make(seen("ViT-Adapter + Mask2Former (nano, pretraining none, seed 0, options)", 4))
    fig.canvas.draw()
    above = fig._suptitle.get_window_extent()
    for ax in fig.axes:
        box = ax.get_tightbbox()
        assert not above.overlaps(box)
        if fig._supxlabel:
            assert not fig._supxlabel.get_window_extent().overlaps(box)
    assert above.x1 <= fig.bbox.x1
    for a, b in itertools.combinations([ax.get_tightbbox() for ax in fig.axes], 2):
        assert not a.overlaps(b)
