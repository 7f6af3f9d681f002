"""The report and the index of overlays, opened from disk in a browser and used."""

import time

import numpy as np
import pytest
from PIL import Image

from eomtlib.report.explore import open_pictures
from eomtlib.report.pages import IndexedImage, recorded_studies, write_index, write_report
from eomtlib.study.records.store import ResultStore
from tests.browser import opened_browser
from tests.report.explore.samples import saved
from tests.report.pages.hostile import NAMES, named
from tests.report.pages.test_recorded import trained
from tests.samples import timing

pytestmark = pytest.mark.slow

CLASSES = (NAMES[0], "sky & sea")
CONTRASTS = """() => {
  const parts = (text) => [...text.matchAll(/[\\d.]+/g)].map(Number);
  const light = (color) => color.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (node) => {
    const [r, g, b, a = 1] = parts(getComputedStyle(node).backgroundColor);
    if (a === 1 || !node.parentElement) return [r, g, b];
    return behind(node.parentElement).map((v, k) => a * [r, g, b][k] + (1 - a) * v);
  };
  const found = [];
  for (const node of document.querySelectorAll(
      "h1, h2, h3, p, li, th, td, dt, dd, summary, figcaption, .plot text, button, select")) {
    if (!node.textContent.trim() || !node.getClientRects().length) continue;
    const style = getComputedStyle(node);
    const own = light(parts(node instanceof SVGElement ? style.fill : style.color));
    const page = light(behind(node));
    const ratio = (Math.max(own, page) + 0.05) / (Math.min(own, page) + 0.05);
    found.push([ratio, node.textContent.trim().slice(0, 40)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("browser"), width=1280, height=900) as context:
        yield context


@pytest.fixture
def page(context):
    """A page that notes what it asks for, and in which nothing may go wrong."""
    page = context.new_page()
    page.asked, wrong = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    yield page
    assert not wrong
    assert page.evaluate("window.harm") is None
    page.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of three models whose classes and notes have hostile names; two have weights."""
    folder = tmp_path_factory.mktemp("report")
    store = ResultStore(folder)
    for place, rung in enumerate(("eomt-masked", "eomt", "pmt")):
        made = trained(store, rung, pq=40.0 - 4 * place, classes=CLASSES, image_size=(64, 64))
        fps = 20.0 * 3**place
        store.write(timing(rung=rung, fps_model=fps, params_m=3.5, cost_image_size=(64, 64)))
        if rung != "pmt":
            saved(store.root / made.checkpoint, rung, names=CLASSES, sure_of=place)
    pictures, _ = open_pictures("", dataset="shapes", data_path=None, image_size=(64, 64), count=2)
    (study,) = recorded_studies(store).values()
    return write_report(folder / "report.html", study, store, pictures=pictures)


@pytest.fixture
def opened(page, report):
    start = time.perf_counter()
    page.goto(report.as_uri())
    page.wait_for_selector(".ev[data-drawn]")
    print(f"{report.stat().st_size / 1e3:.0f} kB, drawn in {time.perf_counter() - start:.2f} s")
    return page


def test_the_report_asks_no_network_for_anything_and_names_stay_text(opened, report):
    assert [address for address in opened.asked if not address.startswith("data:")] == [
        report.as_uri()
    ]
    assert CLASSES[0] in opened.locator(".heat").inner_text()
    assert opened.locator(".plot svg").count() == 1  # curves are gone with the logs


def test_a_heading_sorts_by_number_and_says_so(opened):
    table = opened.locator("#models")

    def first_cells():
        return table.locator("tbody th").all_inner_texts()

    ladder = ["EoMT with masking", "EoMT", "PMT"]
    assert first_cells() == ladder
    table.get_by_role("button", name="FPS", exact=True).click()
    assert first_cells() == ladder[::-1]
    table.get_by_role("button", name="FPS", exact=True).press("Enter")
    assert first_cells() == ladder
    assert table.locator("thead th[aria-sort=ascending]").inner_text().startswith("FPS")
    table.get_by_role("button", name="PQ", exact=True).click()
    assert first_cells() == ladder


def test_points_have_labels_apart_and_tell_figures_to_pointer_and_keyboard(opened):
    tip, plot = opened.locator("#tip"), opened.locator(".plot").first
    points = plot.locator("g.series")
    assert points.count() == 3
    points.nth(1).hover()
    assert "EoMT" in tip.inner_text()
    assert "36.0" in tip.inner_text()
    opened.keyboard.press("Escape")
    assert tip.is_hidden()
    points.nth(2).focus()
    assert "PMT" in tip.inner_text()
    assert "180" in tip.inner_text()
    assert "EoMT, PQ (%): 36.0" in points.nth(1).get_attribute("aria-label")
    boxes = [label.bounding_box() for label in plot.locator("svg > text").all()]
    assert len(boxes) == 3
    for k, one in enumerate(boxes):
        for other in boxes[:k]:
            assert (
                one["x"] + one["width"] <= other["x"]
                or other["x"] + other["width"] <= one["x"]
                or one["y"] + one["height"] <= other["y"]
                or other["y"] + other["height"] <= one["y"]
            )


def test_the_pointer_names_a_class_and_another_model_another(opened):
    stage, tip = opened.locator(".ev-stage"), opened.locator(".ev-tip")
    canvas = opened.locator(".ev-sheet canvas")
    model = opened.get_by_label("model", exact=True)
    assert model.locator("option").all_inner_texts() == ["EoMT with masking", "EoMT"]
    opened.get_by_label("against").select_option("")

    def seen(choice):
        """What the pointer is told on the way through the image, and what is drawn."""
        model.select_option(choice)
        opened.wait_for_timeout(200)
        box = stage.bounding_box()
        told = set()
        for k in range(8):
            opened.mouse.move(box["x"] + box["width"] * (k + 0.5) / 8, box["y"] + 40 + 30 * k)
            told.add(tip.inner_text().split(" (target")[0])
        return told - {"no segment"}, canvas.evaluate("canvas => canvas.toDataURL()")

    stage.scroll_into_view_if_needed()
    (first, drawn), (second, other) = seen("EoMT with masking"), seen("EoMT")
    assert {text.rpartition(" ")[0] for text in first} == {CLASSES[0]}
    assert {text.rpartition(" ")[0] for text in second} == {CLASSES[1]}
    assert drawn != other


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_text_has_contrast_and_a_phone_scrolls_in_one_direction(opened, scheme, width):
    opened.emulate_media(color_scheme=scheme)
    opened.set_viewport_size({"width": width, "height": 800})
    opened.wait_for_timeout(200)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    found = opened.evaluate(CONTRASTS)
    assert len(found) > 40
    assert min(found)[0] >= 4.5, min(found)


@pytest.fixture
def index(tmp_path):
    """Of six overlays: class 0 in all, 1 in every second one, 2 in the first."""
    images = []
    for k, name in enumerate(NAMES):
        own = name.replace("/", "_")
        (tmp_path / "overlays").mkdir(exist_ok=True)
        pixels = np.full((30, 40, 3), 40 * k, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "overlays" / f"{own}.png")
        found = [0, *[1] * (k % 2), *[2] * (k == 0)]
        images.append(IndexedImage(name, f"overlays/{own}.png", found))
    return write_index(tmp_path, images, named([NAMES[0], "sky & sea", "<b>car</b>", "never"]))


def test_the_index_shows_what_has_the_chosen_classes_and_names_do_nothing(page, index):
    page.goto(index.as_uri())
    page.wait_for_load_state("networkidle")
    assert all(address.startswith(index.parent.as_uri()) for address in page.asked)
    cards = page.locator("#found a")
    assert cards.locator("span").all_inner_texts() == list(NAMES)
    loaded = "images => images.every((image) => image.naturalWidth === 40)"
    assert page.locator("#found img").evaluate_all(loaded)
    assert page.locator("#found img[loading=lazy]").count() == 6
    buttons = page.locator("#classes button")
    assert buttons.all_inner_texts() == [f"{NAMES[0]} (6)", "sky & sea (3)", "<b>car</b> (1)"]

    def shown():
        return [k for k, card in enumerate(cards.all()) if card.is_visible()]

    buttons.nth(1).click()
    assert shown() == [1, 3, 5]
    assert "3 of 6" in page.locator("#count").inner_text()
    buttons.nth(2).click()
    assert shown() == []
    buttons.nth(1).press("Enter")
    assert shown() == [0]
    buttons.nth(2).click()
    assert shown() == list(range(6))


def test_a_click_shows_an_image_large_and_arrows_the_next_one_that_is_shown(page, index):
    page.goto(index.as_uri())
    page.locator("#classes button").nth(1).click()
    page.locator("#found a:visible").first.click()
    large = page.locator("dialog img")
    assert large.is_visible()
    assert large.get_attribute("alt").startswith(NAMES[1])
    page.keyboard.press("ArrowRight")
    assert large.get_attribute("alt").startswith(NAMES[3])
    page.get_by_role("button", name="previous").click()
    page.keyboard.press("ArrowLeft")  # there is none before it
    assert large.get_attribute("alt").startswith(NAMES[1])
    assert "sky & sea" in page.locator("dialog p").inner_text()
    page.keyboard.press("Escape")
    assert large.is_hidden()
