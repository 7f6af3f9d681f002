"""The viewer as people meet it: in a browser, from a file, without network."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from eomtlib.report.viewer import ShownImage, ShownMap, ShownSegment, viewer_data, viewer_html
from tests.browser import opened_browser

HOSTILE = "</script><img src=x onerror=\"document.title='broken'\">"
RED, BLUE, GREEN = (213, 94, 0), (0, 114, 178), (0, 158, 115)
GREY = 128


def image(title, split=20, target=True):
    """Grey, 40 x 20: segments left and right of ``split``, in the target of 20; void above."""

    def cut(column):
        ids = np.zeros((20, 40), int)
        ids[:, column:] = 1
        ids[0] = -1
        return ids

    left, right = ShownSegment(HOSTILE, RED, 0.9, 7), ShownSegment("sky", BLUE, 0.75, 2)
    return ShownImage(
        title,
        np.full((20, 40, 3), GREY, np.uint8),
        [
            ShownMap(cut(split), [left, right], "PQ 50.0"),
            ShownMap(cut(30), [ShownSegment("tree", GREEN, 0.5, 1), right]),
        ],
        ShownMap(cut(20), [ShownSegment(HOSTILE, RED), ShownSegment("sky", BLUE)])
        if target
        else None,
    )


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def page(context, tmp_path):
    data = viewer_data([HOSTILE, "PMT"], [image("one", 10), image("two", target=False)])
    part = viewer_html(data, element_id='a"b')
    (tmp_path / "page.html").write_text(f"<!doctype html><meta charset=utf-8><body>{part}")
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request", lambda request: request.url.startswith("http") and errors.append(request.url)
    )
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("[data-drawn]")
    page.get_by_label("names").uncheck()
    yield page
    assert not errors
    assert page.title() != "broken"
    page.close()


def color(page, column, row=10):
    """What is drawn above a pixel's middle: red, green, blue and alpha."""
    return page.locator(".ev-sheet canvas").evaluate(
        """(canvas, [x, y]) => Array.from(canvas.getContext("2d").getImageData(
        (x + 0.5) / 40 * canvas.width, (y + 0.5) / 20 * canvas.height, 1, 1).data)""",
        [column, row],
    )


def move(page, column, row=10):
    box = page.locator(".ev-stage").bounding_box()
    place = (
        box["x"] + (column + 0.5) / 40 * box["width"],
        box["y"] + (row + 0.5) / 20 * box["height"],
    )
    page.mouse.move(*place)
    return place


def slide(page, label, value):
    page.get_by_label(label, exact=True).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        value,
    )


def close_to(drawn, wanted, alpha):
    assert np.abs(np.array(drawn) - [*wanted, round(255 * alpha)]).max() <= 3, drawn


def test_segments_have_their_colours_and_the_slider_their_opacity(page):
    close_to(color(page, 5), RED, 0.45)
    close_to(color(page, 25), BLUE, 0.45)
    assert color(page, 5, 0)[3] == 0  # void
    slide(page, "opacity", 1)
    close_to(color(page, 25), BLUE, 1)
    page.get_by_label("outlines only").check()
    assert color(page, 25)[3] == 0
    scale = 1024 // 40
    border = page.locator(".ev-sheet canvas").evaluate(
        f"""canvas => Array.from(canvas.getContext("2d").getImageData(
        {10 * scale}, {10 * scale}, 1, 1).data)"""
    )
    close_to(border, BLUE, 1)  # right of the border


def test_the_list_has_the_colours_of_the_picture_over_a_middle_grey(page):
    swatch = page.locator(".ev-list i").first
    for opacity in (0.45, 1.0):
        slide(page, "opacity", opacity)
        drawn = swatch.evaluate(
            """node => {
            const context = document.createElement("canvas").getContext("2d");
            context.fillStyle = getComputedStyle(node).backgroundColor;
            context.fillRect(0, 0, 1, 1);
            return Array.from(context.getImageData(0, 0, 1, 1).data);
            }"""
        )
        close_to(drawn, opacity * np.array(RED) + (1 - opacity) * 128, 1)


def test_the_pointer_is_told_class_and_score_and_what_it_should_be(page):
    tip = page.locator(".ev-tip")
    move(page, 5)
    assert tip.inner_text() == f"{HOSTILE} 0.90 · query 7"
    move(page, 15)
    assert tip.inner_text() == f"sky 0.75 · query 2 (target: {HOSTILE})"
    move(page, 15, 0)
    assert tip.inner_text() == "no segment"
    assert [item.inner_text() for item in page.locator(".ev-list button").all()] == [
        f"{HOSTILE} 0.90 · query 7",
        "sky 0.75 · query 2",
    ]


def test_what_is_wrong_has_one_colour_where_the_target_says_what_is_right(page):
    page.get_by_label("wrong here").check()
    slide(page, "opacity", 1)
    assert color(page, 5)[3] == color(page, 25)[3] == color(page, 15, 0)[3] == 0
    close_to(color(page, 15), (255, 0, 220), 1)
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.ev-sheet img').alt === 'two'")
    assert page.get_by_label("wrong here").is_hidden()
    close_to(color(page, 5), RED, 1)


def test_the_curtain_divides_two_models(page):
    slide(page, "opacity", 1)
    page.get_by_label("against").select_option("PMT")
    slide(page, "curtain", 0.1)
    close_to(color(page, 1), RED, 1)
    close_to(color(page, 8), GREEN, 1)
    grip = page.get_by_label("curtain").bounding_box()
    page.mouse.move(grip["x"] + 7 + 0.1 * (grip["width"] - 14), grip["y"] + 30)
    page.mouse.down()
    page.mouse.move(grip["x"] + 0.5 * grip["width"], grip["y"] + 40)
    page.mouse.up()
    close_to(color(page, 15), BLUE, 1)
    close_to(color(page, 25), GREEN, 1)
    move(page, 25)
    assert page.locator(".ev-tip").inner_text().startswith("tree 0.50")
    assert page.locator(".ev-left").inner_text() == f"{HOSTILE} · PQ 50.0"


def test_zoomed_in_a_click_still_meets_the_pixel_below_it(page):
    place = move(page, 12)
    page.keyboard.down("Control")
    for _ in range(5):
        page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    zoom = page.locator(".ev-sheet").evaluate("s => new DOMMatrix(getComputedStyle(s).transform).a")
    assert zoom == pytest.approx(1.2**5, rel=1e-3)
    page.mouse.move(place[0] + 1, place[1])
    assert page.locator(".ev-tip").inner_text().startswith("sky 0.75")
    page.mouse.down()
    page.mouse.move(place[0] + 200, place[1], steps=3)
    page.mouse.up()
    moved = page.locator(".ev-tip").inner_text()
    assert moved.startswith("sky 0.75")  # the same place of the photo, under the pointer
    page.get_by_role("button", name="whole image").click()
    move(page, 5)
    assert page.locator(".ev-tip").inner_text().startswith(HOSTILE)


def test_keys_and_thumbnails_choose_the_image(page):
    photo = page.locator(".ev-sheet img")
    page.locator(".ev").focus()
    page.keyboard.press("ArrowLeft")
    assert photo.get_attribute("alt") == "one"
    page.keyboard.press("ArrowRight")
    assert photo.get_attribute("alt") == "two"
    page.locator(".ev-thumbs button").first.click()
    assert photo.get_attribute("alt") == "one"
    model = page.get_by_label("model", exact=True)
    assert model.locator("option").all_inner_texts() == [f"{HOSTILE} · PQ 50.0", "PMT"]
    model.select_option("PMT")
    page.wait_for_function("document.querySelector('.ev-list').innerText.includes('tree')")


def test_the_picture_is_saved_as_it_is_seen(page, tmp_path):
    slide(page, "opacity", 1)
    with page.expect_download() as download:
        page.get_by_role("button", name="save").click()
    saved = Image.open(download.value.path()).convert("RGB")
    saved = np.asarray(saved.resize((40, 20), Image.Resampling.NEAREST)).astype(int)
    assert np.abs(saved[10, 25] - BLUE).max() <= 3
    assert np.abs(saved[0, 25] - GREY).max() <= 3
    assert "/" not in download.value.suggested_filename


def test_maps_keep_every_id():
    ids = np.arange(-1, 69_999).reshape(70, -1)  # more than two bytes hold
    data = ShownMap(ids, []).data()
    png = base64.b64decode(data["map"].partition(",")[2])
    channels = np.asarray(Image.open(io.BytesIO(png))).astype(int)
    assert (channels @ [1, 256, 65536] - 1 == ids).all()
