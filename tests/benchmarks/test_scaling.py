"""One tiny point of each curve, and the figure of all; no time is looked at."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from benchmarks.__main__ import _write, main
from benchmarks.compare import Comparison
from benchmarks.figure import plot_curves
from benchmarks.inputs import Options, mosaic
from benchmarks.parts import scaling
from benchmarks.parts.scaling import CURVES, compare_at
from benchmarks.peak import peaks_of

TINY = {
    "forward": 64,
    "loss-queries": 4,
    "loss-segments": 2,
    "postprocessing-queries": 25,
    "postprocessing-segments": 2,
    "training": 1,
}


@pytest.mark.parametrize("name", CURVES)
def test_a_point_of_each_curve(name):
    curve = CURVES[name]
    if name == "training":
        curve = replace(curve, sides=lambda batch: scaling.training(batch, side=64))
    found = compare_at(curve, TINY[name], seconds=0)
    assert found.at == (curve.quantity, TINY[name])
    assert len(found.samples) == 3
    if name.startswith("postprocessing"):
        assert found.agreement == "100.00 % of pixels alike"
    if name == "forward":
        assert float(found.agreement.split()[3]) < 1e-3


@pytest.mark.slow
def test_memory_is_weighed_in_a_process_for_each_side():
    options = Options(data=Path(), seconds=0)
    peaks = peaks_of("scaling", options, "postprocessing-segments", "2")
    assert min(peaks) > 0


@pytest.mark.parametrize("count", [1, 7, 100])
def test_a_mosaic_shows_each_segment(count):
    segments = mosaic(count, (96, 96))
    assert segments.ids.shape == (1, 96, 96)
    assert segments.ids.unique().tolist() == list(range(count))


def test_the_figure_has_a_column_for_each_curve():
    points = [
        Comparison(
            part=part,
            peer="b",
            samples=((value / 100, value / 50),),
            bar=None,
            agreement="",
            unit="1 image",
            peak_mib=(900.0, 1000.0 + value),
            at=(quantity, value),
        )
        for part, quantity in (("loss", "queries"), ("loss", "segments"), ("step", "batch"))
        for value in (50, 100, 400)
    ]
    figure = plot_curves(points)
    assert len(figure.axes) == 2 * 3
    assert [axis.get_xlabel() for axis in figure.axes[3:]] == ["queries", "segments", "batch"]
    for axis in figure.axes:
        ours, theirs = axis.get_lines()
        assert list(ours.get_xdata()) == list(theirs.get_xdata()) == [50, 100, 400]


def test_what_was_timed_is_shown_again_without_timing(tmp_path, monkeypatch, capsys):
    alone = {"peer": "a peer", "bar": 2.0, "agreement": "equal", "unit": "1 image"}
    samples = tuple((0.01, 0.01 * ratio) for ratio in (2.0, 12.34, 30.0))
    for number in (10, 9):  # rows stand in the order of their numbers
        found = Comparison(part=f"part {number}", samples=samples, **alone)
        _write(found, tmp_path / "records" / f"loss-{number}.json")
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--show", "--out", str(tmp_path)])
    main()
    rows = [line.split(" | ") for line in (tmp_path / "summary.md").read_text().splitlines()]
    assert rows[2][:2] == ["| 1", "part 9 (1 image)"]
    assert rows[3][1:4] == ["part 10 (1 image)", "a peer", "12 (2.0 to 30)"]
    assert not (tmp_path / "scaling.png").exists()

    monkeypatch.setattr(sys, "argv", ["benchmarks", "--show", "--out", str(tmp_path / "none")])
    with pytest.raises(SystemExit):
        main()
    assert "has no records; time something first" in capsys.readouterr().err
