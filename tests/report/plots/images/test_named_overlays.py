import itertools

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from eomtlib.core.structures import ClassInfo
from eomtlib.data.class_colors import class_colors
from eomtlib.report.plots.images import named_overlays
from eomtlib.report.plots.images.label_places import MOST_LABELS, place_labels
from eomtlib.report.plots.images.named_overlays import (
    Segments,
    draw_legend,
    letters,
    named_overlay,
)
from eomtlib.report.plots.images.overlays import OPACITY, overlay


def classes_of(*names):
    return tuple(ClassInfo(name, True, place) for place, name in enumerate(names))


def halves_of(size, parts=2):
    """Vertical stripes of a picture, and a photo below."""
    photo = np.random.default_rng(0).integers(40, 200, (*size, 3), dtype=np.uint8)
    ids = np.repeat(np.arange(size[1])[None] * parts // size[1], size[0], axis=0)
    return photo, ids


def written(photo, segments, **options):
    """Where a named overlay is not the overlay alone: what was written, ``[H, W]`` bool."""
    shown = named_overlay(photo, segments, **options)
    colors = class_colors(segments.classes)
    return (shown != overlay(photo, segments.ids, segments.labels, colors=colors)).any(axis=2)


def test_each_segment_has_its_own_name_in_it():
    photo, ids = halves_of((300, 400))
    inked = written(photo, Segments(ids, (0, 1), classes_of("il", "WWWWWW")))
    left, right = inked[:, :200], inked[:, 200:]
    assert 0 < left.sum() < right.sum() / 3
    # Each in the middle of its segment, and most of the segment is free of it.
    for half in (left, right):
        assert abs(np.nonzero(half)[1].mean() - 100) < 25
        assert half.mean() < 0.05


def test_scores_are_written_where_there_are_any():
    photo, ids = halves_of((300, 400))
    classes = classes_of("cat", "dog")
    plain = written(photo, Segments(ids, (0, 1), classes)).sum()
    assert written(photo, Segments(ids, (0, 1), classes, (0.9, 0.8))).sum() > 1.3 * plain


@pytest.fixture
def bars(tmp_path, monkeypatch):
    """A machine's only font: it has one letter, a bar, which matplotlib's font lacks."""
    pen = TTGlyphPen(None)
    for place in ((100, 0), (100, 900), (300, 900), (300, 0)):
        (pen.lineTo if pen.points else pen.moveTo)(place)
    pen.closePath()
    glyphs = {".notdef": TTGlyphPen(None).glyph(), "bar": pen.glyph()}
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord("麦"): "bar"})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (400, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Bars", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path / "bars.ttf"
    builder.save(path)
    damaged = tmp_path / "a.ttf"
    damaged.write_bytes(b"none")
    monkeypatch.setattr(named_overlays, "findSystemFonts", lambda: [str(path), str(damaged)])
    named_overlays._file_with.cache_clear()
    yield str(path)
    named_overlays._file_with.cache_clear()


def test_a_name_that_the_usual_letters_lack_is_written_in_a_font_of_the_machine(bars):
    assert letters(20, "麦 麦").path == bars
    assert letters(20, "wheat").path == letters(20).path != bars
    assert letters(20, "麦穗").path == letters(20).path  # not in one font
    photo, ids = halves_of((300, 400))
    inked = written(photo, Segments(ids, (0, 1), classes_of("麦", "麦麦麦")))
    left, right = inked[:, :200].sum(), inked[:, 200:].sum()
    assert right == pytest.approx(3 * left, rel=0.1)
    bar = np.ptp(np.nonzero(inked[:, :200])[1]), np.ptp(np.nonzero(inked[:, :200])[0])
    assert bar[0] < bar[1] / 1.5  # a box would be nearly as wide as high


def test_no_name_is_beyond_the_picture_or_read_as_markup():
    photo, ids = halves_of((300, 400), parts=1)
    as_text = r"<b>$\frac{1$</b>"
    assert written(photo, Segments(ids, (0,), classes_of(as_text))).sum() > 1.5 * (
        written(photo, Segments(ids, (0,), classes_of("frac{1"))).sum()
    )
    for name in ("very long name " * 20, "verylongname" * 20, "two\nlines " * 20):
        rows, columns = np.nonzero(written(photo, Segments(ids, (0,), classes_of(name))))
        assert np.ptp(columns) < 0.62 * 400
        assert np.ptp(rows) < 25


def test_small_pictures_are_enlarged_and_the_photo_stands_beside():
    photo, ids = halves_of((48, 64))
    segments = Segments(ids, (0, 1), classes_of("a", "b"))
    assert named_overlay(photo, segments).shape == (192, 256, 3)
    both = named_overlay(photo, segments, side_by_side=True)
    assert np.array_equal(both[:, :256], photo.repeat(4, 0).repeat(4, 1))
    assert np.array_equal(both[:, -256:], named_overlay(photo, segments))


def test_nothing_found_is_a_darker_photo():
    photo, _ = halves_of((300, 400))
    shown = named_overlay(photo, Segments(np.full((300, 400), -1), (), ()))
    assert np.array_equal(shown, ((1 - OPACITY) * photo).astype(np.uint8))


@pytest.mark.parametrize(("count", "size"), [(5, (300, 400)), (60, (480, 640)), (30, (1200, 90))])
def test_places_do_not_overlap_and_each_is_at_its_segment(count, size):
    draws = np.random.default_rng(count)
    points = draws.uniform(0, 1, (count, 2)) * size
    rows, columns = np.indices(size)
    ids = np.hypot(rows[..., None] - points[:, 0], columns[..., None] - points[:, 1]).argmin(-1)
    half = np.array([22.0, 8.0])
    labels = place_labels(ids, np.tile(half, (count, 1)))
    assert min(count, 8) <= len(labels) <= MOST_LABELS
    for a, b in itertools.combinations(labels, 2):
        assert (abs(a.centre - b.centre) >= 2 * half - 1e-6).any()
    for label in labels:
        assert (label.centre >= half).all()
        assert (label.centre <= np.array(size[::-1]) - half).all()
        x, y = label.centre if label.line is None else label.line[1]
        assert (
            label.segment in ids[max(0, int(y) - 8) : int(y) + 9, max(0, int(x) - 22) : int(x) + 23]
        )
    areas = np.bincount(ids.ravel())
    assert {label.segment for label in labels} <= set(areas.argsort()[-MOST_LABELS:].tolist())


def test_the_legend_shows_colours_as_they_are_and_over_a_photo():
    classes = classes_of("a", "b", "c")
    shown = draw_legend(classes, [2, 0, 2], opacity=0.3)
    flat = shown.reshape(-1, 3)
    for place, color in enumerate(class_colors(classes)):
        assert (flat == color).all(axis=1).any() == (place != 1)
        over_white = (0.3 * color + 0.7 * 255).astype(np.uint8)
        assert (flat == over_white).all(axis=1).any() == (place != 1)
