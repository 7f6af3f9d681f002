"""Notebooks as a person uses them: opened in JupyterLab in a browser, run, and played with."""

import statistics
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import papermill
import pytest
from PIL import Image

from eomtlib.data.class_colors import class_colors
from tests.browser import opened_browser
from tests.jupyterlab import opened, run_all, running_lab
from tests.report.explore.samples import explorer as made

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = REPOSITORY / "notebooks"
SMOKE = {
    "ablation": {
        "rungs": "eomt-masked,eomt",
        "pretraining": "none",
        "duration": 4,
        "batch_size": 2,
        "val_images": 4,
        "device": "cpu",
    },
    "explore": {
        "pretraining": "none",
        "duration": 4,
        "num_images": 2,
        "device": "cpu",
        "threshold": 0.1,
    },
}
CELL = """
from pathlib import Path

from tests.report.explore.samples import explorer

shown, inspector = explorer(Path.cwd())
shown
"""
WIDTH, HEIGHT = 60, 40
STEPS = 50


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on copies of the notebooks with smoke parameters; its address."""
    home = tmp_path_factory.mktemp("lab")
    root = home / "notebooks"
    root.mkdir()
    for name, parameters in SMOKE.items():
        notebook = papermill.parameterize.parameterize_notebook(
            papermill.iorw.load_notebook_node(str(NOTEBOOKS / f"{name}.ipynb")),
            {**parameters, "results_dir": str(home / "results")},
        )
        nbformat.write(notebook, root / f"{name}.ipynb")
    touched = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    touched.metadata.kernelspec = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(touched, root / "touched.ipynb")
    with running_lab(
        home, root, PYTHONPATH=REPOSITORY, EOMTLIB_CACHE=tmp_path_factory.getbasetemp() / "cache"
    ) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("browser")) as context:
        yield context


def test_notebooks_run_in_jupyterlab_and_the_explorer_answers(browser, lab):
    # In this order: the second notebook looks into the runs of the first.
    ablation = opened(browser, lab, "ablation")
    run_all(ablation)
    _check_figures(ablation, ("ladder", "pareto", "curves"))
    ablation.close()

    page = opened(browser, lab, "explore")
    run_all(page)
    _check_figures(page, ("models", "queries", "layers", "query"))
    explorer = page.locator(".ev-stage")
    explorer.scroll_into_view_if_needed()
    assert explorer.bounding_box()["width"] <= page.locator(".jp-Notebook").bounding_box()["width"]
    page.wait_for_function("document.querySelector('.ev').dataset.drawn > 0")
    assert page.locator(".ev-list button").count()


def test_the_explorer_can_be_touched_and_moving_its_slider_asks_nothing(browser, lab, tmp_path):
    sent = []  # what the page asks of kernels

    def listen(socket):
        socket.on("framesent", lambda frame: sent.append(frame) if "comm_msg" in str(frame) else 0)

    browser.on("page", lambda page: page.on("websocket", listen))
    page = opened(browser, lab, "touched")
    run_all(page)
    page.wait_for_selector(".ev-list button")
    page.get_by_label("names").uncheck()
    slide(page, "opacity", 1)
    _, inspector = made(tmp_path)
    seen, other = inspector(1, 0), inspector(0, 0)  # EoMT is chosen, wherever it stands
    segments = seen.segments(threshold=0.0)
    assert (drawn(page)[..., :3] == colors_of(segments)).all()
    model = page.get_by_label("model", exact=True)
    assert model.locator("option:checked").inner_text().startswith("EoMT · PQ ")

    # Hover: class, score, query, and the target where it differs.
    ids, target = segments.ids, seen.picture.target
    row, column = np.argwhere(ids == ids.max())[7]
    at(page, row, column)
    said = page.locator(".ev-tip").inner_text()
    assert said.startswith(segments.text(ids[row, column]) + " · query ")
    label, truth = segments.labels[ids[row, column]], target.ids[row, column]
    assert ("(target" in said) == (truth >= 0 and target.labels[truth] != label)

    # Click: the query behind it; its masks are drawn in the colours of their probabilities.
    before = len(sent)
    page.mouse.down()
    page.mouse.up()
    page.get_by_text("back to segments").wait_for()
    assert len(sent) == before + 1
    query = int(page.locator(".ex-panel strong").inner_text().removeprefix("query "))
    assert query == seen.query_behind(np.array([[row, column]]), label)
    for layer in range(len(seen.layers)):
        slide(page, "layer", layer)
        assert seen.layers[layer].name in page.locator(".ex-panel output").inner_text()
        assert seen.says(query, layer=layer) in page.locator(".ex-panel output").inner_text()
        mask = seen.masks([query], layer=layer)[0].numpy()
        wanted = 255 * matplotlib.colormaps["inferno"](mask)[..., :3]
        clear = np.abs(mask - 0.5) > 0.02  # of the border
        assert np.abs(drawn(page)[..., :3] - wanted)[clear].mean() < 3

    # Sliding through the layers, nothing is asked of the kernel, and every step is drawn.
    before, count = len(sent), page.evaluate("+document.querySelector('.ev').dataset.drawn")
    times = page.get_by_label("layer", exact=True).evaluate(
        """async (slider, steps) => {
        const times = [];
        for (let i = 0; i < steps; i++) {
          const start = performance.now();
          slider.value = i % (+slider.max + 1);
          slider.dispatchEvent(new Event("input"));
          await new Promise(requestAnimationFrame);
          times.push((performance.now() - start) / 1000);
        }
        return times; }""",
        STEPS,
    )
    print(f"a step of the slider took {statistics.median(times):.3f} s (median of {STEPS})")
    assert page.evaluate("+document.querySelector('.ev').dataset.drawn") == count + STEPS
    assert len(sent) == before

    # The same of its attention, and of the whole segmentation.
    page.get_by_label("show", exact=True).select_option("attention")
    slide(page, "layer", 0)
    assert "of its attention goes to patches" in page.locator(".ex-panel output").inner_text()
    weights = seen.attention[0][query].float().numpy()
    blocks = (weights / weights.max()).repeat(64 // len(weights), 0).repeat(64 // len(weights), 1)
    sides = zip((HEIGHT, WIDTH), seen.layout.size, strict=True)
    places = [((np.arange(own) + 0.5) * size / own).astype(int) for own, size in sides]
    wanted = 255 * matplotlib.colormaps["inferno"](blocks[np.ix_(*places)])[..., :3]
    assert np.median(np.abs(drawn(page)[..., :3] - wanted)) < 3  # sides of patches may be moved
    page.get_by_text("back to segments").click()
    for layer in range(len(seen.layers)):
        slide(page, "layer", layer)
        of_layer = seen.segments(threshold=0.0, layer=layer)
        assert (drawn(page)[..., :3] == colors_of(of_layer)).all()
    assert len(sent) == before

    # The curtain: EoMT on its left, EoMT with masking on its right.
    page.get_by_label("against", exact=True).select_option(index=2)
    page.wait_for_function("document.querySelector('.ev-right').textContent.includes('PQ')")
    slide(page, "curtain", 0.5)
    picture, right = drawn(page)[..., :3], colors_of(other.segments(threshold=0.0))
    assert (picture[:, :29] == colors_of(segments)[:, :29]).all()
    assert (picture[:, 31:] == right[:, 31:]).all()

    # An image of one's own: chosen as a file, turned as it says; what is none is said to be none.
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (50, 30), "teal").save(tmp_path / "turned.jpg", exif=turned)
    (tmp_path / "none.png").write_bytes(b"no picture")
    page.get_by_label("your own image").set_input_files(tmp_path / "none.png")
    page.get_by_text("none.png: cannot be decoded").wait_for()
    page.get_by_label("your own image").set_input_files(tmp_path / "turned.jpg")
    page.wait_for_function("document.querySelector('.ev-sheet img').naturalWidth === 30")
    page.get_by_label("or its path").fill(str(tmp_path / "nowhere.png"))
    page.get_by_role("button", name="open").click()
    page.get_by_text("does not exist").wait_for()
    assert page.locator(".ev-thumbs button").count() == 3
    page.locator(".ev").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.querySelector('.ev-sheet img').alt === 'own.png'")


def _check_figures(page, names):
    """At least so many images come to be shown, and none of them is broken."""
    images = page.locator(".jp-RenderedImage img")
    images.nth(len(names) - 1).wait_for(state="attached")
    widths = images.evaluate_all(
        "images => Promise.all(images.map(i => i.decode().then(() => i.naturalWidth, () => 0)))"
    )
    assert all(widths)


def slide(page, label, value):
    page.get_by_label(label, exact=True).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        value,
    )


def drawn(page):
    """The colours above the middle of each of the image's pixels, ``[40, 60, 4]``."""
    values = page.locator(".ev-sheet canvas").evaluate(
        """(canvas, [w, h]) => {
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const out = [];
        for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
          const [column, row] = [(x + .5) / w * canvas.width, (y + .5) / h * canvas.height];
          const i = 4 * (Math.floor(row) * canvas.width + Math.floor(column));
          out.push(...data.slice(i, i + 4));
        }
        return out; }""",
        [WIDTH, HEIGHT],
    )
    return np.array(values).reshape(HEIGHT, WIDTH, 4)


def at(page, row, column):
    """Moves the pointer over a pixel of the image."""
    page.locator(".ev-stage").scroll_into_view_if_needed()
    box = page.locator(".ev-stage").bounding_box()
    across, down = (column + 0.5) / WIDTH * box["width"], (row + 0.5) / HEIGHT * box["height"]
    page.mouse.move(box["x"] + across, box["y"] + down)


def colors_of(segments):
    colors = np.vstack([class_colors(segments.classes)[list(segments.labels)], [[0, 0, 0]]])
    return colors[segments.ids]
