import base64
import io

import numpy as np
import pytest
from PIL import Image

from eomtlib.data.class_colors import class_colors
from eomtlib.evaluation.metrics.panoptic_quality import PanopticQuality
from tests.report.explore.samples import explorer


@pytest.fixture
def made(tmp_path):
    return explorer(tmp_path)


def ask(made, kind, **content):
    answer = made[0].answer({"id": "7", "kind": kind, **content})
    assert answer["to"] == "7"
    assert "error" not in answer
    return answer


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))).astype(int)


SEE = {"image": 0, "model": 1, "threshold": 0.0, "has_photo": False}
CLICK = {"image": 0, "model": 1, "query": None, "x": 5, "y": 30, "layer": -1, "threshold": 0.0}


def test_a_page_begins_with_what_there_is_and_common_text_once(made):
    begun = ask(made, "begin")
    assert begun["data"]["models"] == ["EoMT with masking", "EoMT"]
    assert begun["shared"] == "nano, pretraining none"
    assert begun["model"] == 1  # EoMT, wherever it stands
    assert [image["title"] for image in begun["data"]["images"]] == ["annotated", "own.png"]
    assert not any(image["photo"] for image in begun["data"]["images"])


def test_a_model_is_sent_with_all_its_layers_and_its_figure(made):
    seen, answer = made[1](1, 0), ask(made, "see", **SEE)
    assert (pixels(answer["picture"]["photo"]) == seen.picture.pixels).all()
    assert len(answer["layers"]) == len(seen.layers)
    for index, layer in enumerate(answer["layers"]):
        segments = seen.segments(threshold=0.0, layer=index)
        assert (pixels(layer["map"])[..., 0] - 1 == segments.ids).all()
        said = [f"{one['name']} {one['score']:.2f}" for one in layer["segments"]]
        assert said == [segments.text(place) for place in range(len(segments.labels))]
        colors = class_colors(segments.classes)[list(segments.labels)]
        assert [one["color"] for one in layer["segments"]] == colors.tolist()
    metric = PanopticQuality(seen.classes)
    metric.update(seen.segmented(threshold=0.0), seen.picture.annotation)
    expected = f"PQ {metric.compute().metrics['pq']:.1f}"
    assert answer["layers"][-1]["figure"] == answer["figures"][1] == expected
    assert "above 0.00" in answer["caption"]
    own = ask(made, "see", **SEE | {"image": 1})
    assert not own["figures"]
    assert own["layers"][-1]["figure"] == ""


def test_a_click_gives_the_query_of_the_pixel_through_all_layers(made):
    seen, answer = made[1](1, 0), ask(made, "query", **CLICK)
    scores, masks = seen.class_scores()[0], seen.masks(range(4))[:, 30, 5]
    best = scores[:, :-1].amax(-1)
    kept = scores.argmax(-1) < 2
    segment = seen.segments(threshold=0.0).ids[30, 5]
    assert segment >= 0  # else the click would ask for any class
    assert answer["query"] == (best * masks * kept).argmax()
    values = pixels(answer["masks"]).reshape(len(seen.layers), 40, 60)
    for layer, own in enumerate(values):
        probability = 1 / (1 + np.exp(6 - own * 12 / 255))
        mask = seen.masks([answer["query"]], layer=layer)[0].numpy()
        assert np.abs(probability - mask).max() < 0.02
        assert answer["says"][layer] == seen.says(answer["query"], layer=layer)
    assert len(answer["looks"]) == len(seen.attention) == len(seen.layers) - 1
    assert pixels(answer["attention"]).shape == (40 * len(seen.attention), 60)
    assert ask(made, "query", **CLICK | {"query": 2})["query"] == 2


def test_own_images_are_opened_and_what_fails_is_said(made, tmp_path):
    file = tmp_path / "<b>.png"
    Image.new("RGB", (20, 10), "teal").save(file)
    opened = made[0].answer(
        {"id": "7", "kind": "open", "name": "<b>.png"}, [memoryview(file.read_bytes())]
    )
    assert opened["first"] == 2
    assert opened["images"][0]["title"] == "<b>.png"
    assert len(ask(made, "open", path=str(tmp_path))["images"]) == 2  # <b>.png and own.png
    assert ask(made, "see", **SEE | {"image": 2})["layers"]
    for content, buffers in (
        ({"path": str(tmp_path / "nowhere")}, []),
        ({"name": "broken.png"}, [b"no picture"]),
    ):
        answer = made[0].answer({"id": "8", "kind": "open", **content}, buffers)
        assert answer["to"] == "8"
        assert "nowhere does not exist" in answer["error"] or "broken.png" in answer["error"]
    assert len(made[1].pictures) == 5
    assert made[0].answer({"id": "9", "kind": "see"}) == {"to": "9", "error": "KeyError: 'model'"}


def test_a_saved_notebook_holds_no_image(made):
    ask(made, "see", **SEE)
    assert len(repr(made[0].get_state())) < 60_000
    assert "data:image" not in repr(made[0].get_state())
