import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")

from eomtlib.core.structures import ClassInfo, stuff_classes
from eomtlib.data.feed.transforms import EvalTransform
from eomtlib.data.sets.shapes_scene import CLASSES, render_scene
from eomtlib.inference.postprocessing import post_process_panoptic_segmentation, resize_to_image
from eomtlib.inference.segmenter import Segmenter
from eomtlib.models.build import build_model
from eomtlib.models.ladder import LADDER
from eomtlib.report.explore.inspection import Inspection, Layer, inspect
from eomtlib.report.explore.sources import Picture

PICTURE = Picture("wide", render_scene(0, 1, 0, (48, 96)).image)
RUNGS = {
    "single-scale": {},
    "eomt-masked": {},
    "eomt": {},
    "pmt": {},
    "eomt, unmasked": {"masking": "unmasked"},
}


def inspected(name):
    """A random model, sure enough of its classes that some queries make segments."""
    rung = name.partition(",")[0]
    torch.manual_seed(0)
    model = build_model(
        rung,
        size="nano",
        pretraining="none",
        image_size=64,
        num_classes=len(CLASSES),
        load_weights=False,
        **RUNGS[name],
    ).eval()
    seen = inspect(model, PICTURE, title=name, rung=rung, classes=CLASSES)
    pixels = torch.from_numpy(PICTURE.pixels).permute(2, 0, 1)
    with torch.inference_mode():
        predicted = model.predict(EvalTransform((64, 64)).fit(pixels)[None])
    return seen, predicted


@pytest.mark.parametrize("name", RUNGS)
def test_the_last_layer_is_what_the_model_predicts(name):
    seen, (masks, classes) = inspected(name)
    torch.testing.assert_close(seen.layers[-1].mask_logits, masks, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen.layers[-1].class_logits, classes, rtol=1e-4, atol=1e-4)
    if "unmasked" in name:
        assert len(seen.layers) == 1
        assert "without masks" in seen.note
        return
    assert not seen.note
    unit = "block" if LADDER[name].has_query_blocks else "layer"
    assert seen.layers[0].name == f"before {unit} 1"
    assert seen.layers[-1].name == f"after {unit} {len(seen.layers) - 1} (final)"
    assert len(seen.layers) >= 4
    difference = seen.layers[0].class_logits - seen.layers[-1].class_logits
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize("name", ["eomt-masked", "eomt"])
def test_segments_and_masks_are_those_of_the_evaluation(name):
    seen, (masks, classes) = inspected(name)
    expected = post_process_panoptic_segmentation(
        masks,
        classes,
        target_sizes=[(48, 96)],
        input_size=(64, 64),
        stuff_classes=stuff_classes(CLASSES),
        threshold=0.05,
    )[0]
    segments = seen.segments(threshold=0.05)
    assert segments.ids.shape == (48, 96)
    # Of hundreds of pixels, a rounding may move one on a border.
    assert np.mean(segments.ids != expected["segmentation"].numpy()) < 0.005
    assert segments.labels == tuple(info["label_id"] for info in expected["segments_info"])
    assert segments.scores == pytest.approx([info["score"] for info in expected["segments_info"]])
    queries = seen.ranking()[:3]
    probability = resize_to_image(
        masks[0, queries], target_size=(48, 96), input_size=(64, 64)
    ).sigmoid()
    torch.testing.assert_close(seen.masks(queries), probability, rtol=1e-4, atol=1e-4)


def test_queries_are_ranked_by_their_surest_class_and_say_it():
    seen, (_, classes) = inspected("eomt")
    scores = classes[0].softmax(-1)
    ranking = seen.ranking()
    assert sorted(ranking) == list(range(seen.num_queries))
    assert ranking[0] == scores[:, :-1].max(-1).values.argmax()
    best = scores[ranking[0], :-1].max(0)
    assert f"{CLASSES[best.indices].name} {best.values:.2f}" in seen.says(ranking[0])


@pytest.mark.parametrize("task", ["instance", "semantic"])
def test_other_tasks_are_shown_as_they_are_predicted(task):
    generator = torch.Generator().manual_seed(0)
    classes = tuple(ClassInfo(name, True, index) for index, name in enumerate("abc"))
    masks = torch.randn(5, 8, 8, generator=generator)
    logits = torch.randn(5, 4, generator=generator)
    logits[:, 3] = -5.0
    logits[0, 1] = 9.0
    pixels = np.zeros((32, 32, 3), np.uint8)
    inspection = Inspection(
        title="a model",
        picture=Picture("black", pixels),
        classes=classes,
        input_size=(32, 32),
        layers=(Layer("final", masks[None], logits[None]),),
        task=task,
    )
    segments = inspection.segments()
    large = torch.nn.functional.interpolate(
        masks[None], size=(32, 32), mode="bilinear", align_corners=False
    )[0]
    if task == "semantic":
        scores = logits.softmax(-1)[:, :3]
        for row, column in ((3, 4), (20, 30), (31, 0)):
            votes = sum(scores[q] * large[q, row, column].sigmoid() for q in range(5))
            assert segments.labels[segments.ids[row, column]] == int(votes.argmax())
        assert segments.scores is None
    else:
        shown = large[0] > 0
        mean = large[0].sigmoid()[shown].mean() * logits.softmax(-1)[0, 1]
        assert max(segments.scores) == pytest.approx(float(mean), abs=1e-4)
        best = int(np.argmax(segments.scores))
        assert segments.labels[best] == 1
        assert ((segments.ids == best) == shown.numpy()).all()


def test_semantic_models_see_windows_as_predict_does():
    torch.manual_seed(0)
    options = {"pretraining": "none", "image_size": 64, "load_weights": False}
    model = build_model("eomt", size="nano", num_classes=len(CLASSES), **options).eval()
    picture = Picture("wide", render_scene(0, 1, 0, (40, 150)).image)
    seen = inspect(model, picture, title="", rung="eomt", classes=CLASSES, task="semantic")
    assert len(seen.layout.offsets) > 2
    predicted = Segmenter(model, task="semantic", precision="float32")(picture.pixels).numpy()
    segments = seen.segments()
    classes = np.array(segments.labels)[segments.ids]
    assert (classes != predicted).mean() < 0.005  # a rounding may move a border
    assert not seen.attention  # of one window only

    # All queries' masks times their scores make the scores that the classes are chosen by, but for
    # scores that differ from window to window.
    masks = seen.masks(range(seen.num_queries)).flatten(1)
    votes = seen.class_scores().mean(0)[:, :-1].T @ masks
    assert (votes.argmax(0).numpy() == predicted.ravel()).mean() > 0.6
    assert masks.min() >= 0
    for row, column in ((20, 75), (0, 149), (39, 0)):
        label = int(classes[row, column])
        behind = seen.query_behind(np.array([[row, column]]), label)
        claims = seen.class_scores()[:, :, label].mean(0) * masks.view(-1, 40, 150)[:, row, column]
        assert behind in claims.topk(3).indices


@pytest.mark.parametrize("name", ["single-scale", "eomt", "pmt"])
def test_the_query_behind_a_pixel_is_the_one_that_post_processing_gave_it_to(name):
    seen, (masks, classes) = inspected(name)
    large = resize_to_image(masks[0], target_size=(48, 96), input_size=(64, 64)).sigmoid()
    scores, labels = classes[0].softmax(-1).max(-1)
    kept = (labels != len(CLASSES)).float()
    winner = (large * (scores * kept)[:, None, None]).argmax(0).numpy()
    places = np.argwhere(winner >= 0)[::97]
    expected = winner[tuple(places.T)]
    assert len(set(expected)) > 1
    pairs = zip(places, labels[expected].tolist(), strict=True)
    found = [seen.query_behind(place[None], label) for place, label in pairs]
    assert np.mean(found == expected) > 0.9  # resizing in one step may move a border
    together = seen.query_behind(places[expected == expected[0]], int(labels[expected[0]]))
    assert together == expected[0]


def test_where_queries_look_is_as_large_as_the_patches():
    for name in RUNGS:
        seen, _ = inspected(name)
        if name == "single-scale":
            assert not seen.attention  # in a decoder, over scales
            continue
        for block in seen.attention:
            assert block.shape[0] == seen.num_queries
            shares = block.float().sum((1, 2))
            assert ((shares >= 0) & (shares < 1.001)).all()
            assert shares.max() > 0.1
