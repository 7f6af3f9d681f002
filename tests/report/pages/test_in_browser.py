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
from tests.report.pages.hostile import NAMES
from tests.report.pages.test_recorded import trained

pytestmark = pytest.mark.slow

SCALE = "html => { const c = getComputedStyle(html); return [c.color, c.backgroundColor] }"


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("browser"), width=1280, height=900) as context:
        yield context


@pytest.fixture
def page(context):
    """A page that notes what it asks for and what goes wrong in it."""
    page = context.new_page()
    page.asked, page.wrong = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
    yield page
    assert not page.wrong
    page.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of two models with random weights whose classes have hostile names."""
    folder = tmp_path_factory.mktemp("report")
    store = ResultStore(folder)
    for rung, pq in (("vit-adapter-m2f", 40.0), ("eomt", 30.0)):
        made = trained(store, rung, pq=pq, label=NAMES[1])
        saved((store.root / made.checkpoint).parent / "model", rung, names=NAMES[:2])
    pictures, _ = open_pictures(
        "", dataset="shapes", data_path=None, image_size=(64, 64), count=2
    )
    (study,) = recorded_studies(store)
    return write_report(folder / "report.html", study, store, pictures=pictures)


def opened(page, path):
    start = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_load_state("networkidle")
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB, {time.perf_counter() - start:.2f} s")


def test_the_report_needs_no_network_and_takes_names_for_text(page, report):
    opened(page, report)
    assert page.asked == [report.as_uri()]
    assert page.evaluate("window.harm") is None
    assert NAMES[1] in page.locator("body").inner_text()
