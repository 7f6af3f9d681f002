import base64

import matplotlib
import pytest

matplotlib.use("Agg")

from matplotlib import pyplot

from eomtlib.core.errors import DataError
from eomtlib.report.explore import Explorer, Inspector, given_checkpoints
from eomtlib.report.explore.sources import own_pictures
from eomtlib.report.explore.widget import VIEWS
from tests.report.explore.samples import image_file, saved


@pytest.fixture
def explorer(tmp_path):
    pyplot.close("all")  # what others left
    paths = saved(tmp_path / "a"), saved(tmp_path / "b", "eomt-masked")
    models = given_checkpoints(",".join(map(str, paths)))
    files = image_file(tmp_path / "a.png"), image_file(tmp_path / "b.png", (30, 60))
    return Explorer(Inspector(models, own_pictures(",".join(map(str, files)), 2)), num_queries=3)


def test_every_control_draws_the_picture_again(explorer):
    drawn = [bytes(explorer.picture.value)]

    def draws():
        drawn.append(bytes(explorer.picture.value))
        assert drawn[-1].startswith(b"\x89PNG")
        return drawn[-1] not in drawn[:-1]

    for view in list(VIEWS)[1:]:
        explorer.view.value = view
        assert draws(), view
    explorer.threshold.value = 0.2
    assert draws()
    explorer.image.value = 1
    assert draws()
    explorer.view.value = "layers"
    assert draws()
    explorer.model.value = 1
    assert draws()
    explorer.query.value = 2
    assert draws()
    assert not pyplot.get_fignums()  # nothing that a notebook would show a second time


def test_controls_without_a_meaning_are_off(explorer):
    off = {
        "segmentation": {"query"},
        "queries": {"threshold", "query"},
        "layers": set(),
        "models": {"model", "query"},
    }
    for view, expected in off.items():
        explorer.view.value = view
        controls = ("image", "model", "threshold", "query")
        assert {name for name in controls if getattr(explorer, name).disabled} == expected


def test_the_chosen_query_is_kept_on_another_image(explorer):
    explorer.view.value = "layers"
    assert "the segmentation" in explorer.figure()._suptitle.get_text()
    explorer.query.value = 2
    explorer.image.value = 1
    assert explorer.query.value == 2
    assert len(explorer.query.options) == 1 + 4
    assert "query 2" in explorer.figure()._suptitle.get_text()


def test_a_static_page_shows_the_picture(explorer):
    bundle = explorer._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == bytes(explorer.picture.value)
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_errors_are_shown_where_the_picture_is(explorer, monkeypatch):
    def fail(model, picture):
        raise DataError("broken.png cannot be <read>")

    before = bytes(explorer.picture.value)
    monkeypatch.setattr(explorer, "_inspector", fail)
    explorer.image.value = 1
    assert "broken.png cannot be &lt;read&gt;" in explorer._message.value
    assert bytes(explorer.picture.value) == before
