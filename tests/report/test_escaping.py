"""Text from outside comes out as it is, whatever shows it."""

import html
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from nbconvert.filters import markdown2html

from eomtlib.core.escaping import for_markdown, for_matplotlib
from eomtlib.core.structures import ClassInfo
from eomtlib.report.book import write_index
from eomtlib.report.explore.panels import draw, segmented
from eomtlib.report.explore.sources import Picture, Segments
from eomtlib.report.plots import plot_annealing, plot_lines, plot_pictures, plot_segmentations
from eomtlib.report.tables import beside_paper, measured_table, save_table, style, style_plain

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    r"$\frac$",
    "a^$b_$",
    "a|b",
    "50% of_it ~ ^ \\end{tabular} {#&",
    "_hidden",
)
each = pytest.mark.parametrize("text", HOSTILE)


@each
def test_markdown_shows_a_text_as_it_is(text):
    row = f"| {for_markdown(text)} | c |\n"
    rendered = markdown2html(f"{row}| --- | --- |\n{row}")
    cells = re.findall("<td>(.*?)</td>", rendered)
    assert [html.unescape(cell) for cell in cells] == [text, "c"]


def tables_with(text):
    plain = pd.DataFrame({text: [text], "other": 1.5})
    frame = pd.DataFrame([{"model": text, "seed": 0, "pq": 1.0, "fps": 2.0, "mode": text}])
    groups = beside_paper(measured_table(frame, ["model"]), pd.DataFrame({"model": [], "pq": []}))
    return plain, groups, plain.set_index(text).rename_axis("name")


@each
def test_tables_show_a_text_as_it_is(text, tmp_path):
    plain, groups, indexed = tables_with(text)
    for number, table in enumerate((plain, groups, indexed)):
        shown = (style if table is groups else style_plain)(table).to_html()
        assert "<img" not in shown
        _, markdown, latex = save_table(table, tmp_path / str(number), note=f"{text}\n{text}")
        lines = [line for line in markdown.read_text().splitlines() if line.startswith("|")]
        assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
        written, _, comment = latex.read_text().partition("\\bottomrule\n\\end{tabular}\n% ")
        assert r"\end" not in written
        assert r"\frac" not in written
        assert comment.count("\n") == 1


@each
def test_figures_show_a_text_as_it_is(text):
    pixels, ids = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), int)
    lines = pd.DataFrame({"rung": "eomt", "x": [text, "b"], "pq": [1.0, 2.0]})
    curves = pd.DataFrame({"step": [0, 1], "masking_0": [1.0, 0.0]})
    picture = Picture(text, pixels)
    classes = (ClassInfo(text, True, 1),)
    segments = Segments(ids, (0,), classes)
    figures = [
        plot_segmentations([pixels], {text: [(ids, [0])]}, classes=classes),
        plot_pictures({text: [pixels]}, note=text),
        plot_lines(lines, x="x", title=text, note=text),
        plot_annealing({text: curves}),
        draw([segmented(picture, segments, text)], columns=1, width=4, title=text, note=text),
    ]
    for figure in figures:
        figure.canvas.draw()
        shown = [t.get_text() for t in figure.findobj(Text)]
        assert any(for_matplotlib(text) in one.replace("\n", " ") for one in shown)
        plt.close(figure)


def test_names_of_folders_and_files_break_no_link_of_the_page(tmp_path):
    name = "a|b](x) <img src=x>"
    folder = tmp_path / "figures" / name
    folder.mkdir(parents=True)
    for figure in ("pareto.png", "c [d].png"):
        (folder / figure).touch()
    cells = [{"cell_type": "markdown", "metadata": {}, "source": ["# What is asked?\n"]}]
    notebook = {"cells": cells, "metadata": {"eomtlib": {"folders": [name]}}}
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/own.ipynb").write_text(json.dumps(notebook))
    rendered = markdown2html(write_index(tmp_path).read_text())
    assert rendered.count("<img") == 1
    for figure in ("pareto.png", "c%20%5Bd%5D.png"):
        assert f"figures/a%7Cb%5D%28x%29%20%3Cimg%20src%3Dx%3E/{figure}" in rendered
