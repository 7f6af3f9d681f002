import json
import os
import re
from urllib.parse import unquote_to_bytes

from eomtlib.report.pages import IndexedImage, write_index
from tests.report.pages.hostile import NAMES, Elements, named


def test_whatever_files_and_classes_are_called_they_are_text(tmp_path):
    names = [*(name.replace("/", "_") for name in NAMES), "a b#c?d%41", os.fsdecode(b"caf\xe9")]
    images = [
        IndexedImage(name, f"overlays/{name}.png", [k % 6, 0]) for k, name in enumerate(names)
    ]
    page = write_index(tmp_path, images, named(NAMES)).read_text("utf-8")
    harmless = write_index(tmp_path, [IndexedImage("a", "a.png", [])], named("b")).read_text(
        "utf-8"
    )

    assert Elements(page).found == Elements(harmless).found
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert data["classes"] == list(NAMES)
    assert [image["name"] for image in data["images"]] == names
    for image, name in zip(data["images"], names, strict=True):
        # What a browser asks the file system for.
        assert unquote_to_bytes(image["address"]) == os.fsencode(f"overlays/{name}.png")
        assert not set(image["address"]) & set("#?\"'<> ")
    assert data["images"][1]["classes"] == [0, 1]


def test_ten_thousand_images_make_a_page_of_a_few_megabytes(tmp_path):
    images = (IndexedImage(f"{k:06}.jpg", f"overlays/{k:06}.png", range(8)) for k in range(10_000))
    assert write_index(tmp_path, images, named(["class"] * 8)).stat().st_size < 2e6
