import numpy as np
import pytest
import torch
from PIL import Image

from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.data.feed.transforms import EvalTransform
from eomtlib.data.feed.windows import WindowTransform
from eomtlib.inference.folding import fold
from eomtlib.inference.postprocessing import (
    post_process_instance_segmentation,
    post_process_panoptic_segmentation,
    post_process_semantic_segmentation,
)
from eomtlib.inference.row_attention import autocast_inference
from eomtlib.inference.segmenter import Segmenter
from eomtlib.models.build import build_model

NUM_CLASSES = 5


def trained(rung, size="nano", pretraining="none"):
    """Random, LayerScale included, as training would leave it."""
    torch.manual_seed(0)
    model = build_model(
        rung,
        size=size,
        pretraining=pretraining,
        image_size=64,
        num_classes=NUM_CLASSES,
        num_queries=12,
        load_weights=False,
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gamma" in name or "scale" in name or ".ls" in name:
                parameter.uniform_(0.2, 2)
    return model.eval()


@pytest.mark.parametrize(
    ("rung", "size", "pretraining"),
    [
        ("eomt", "small", "dinov2"),
        ("pmt", "small", "dinov3"),
        ("eomt", "small", "eva02"),
        ("vit-adapter-m2f", "nano", "none"),
    ],
)
@torch.no_grad()
def test_a_folded_model_predicts_the_same_and_the_original_stays(rung, size, pretraining):
    model = trained(rung, size, pretraining)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    expected = model.predict(images)
    found = fold(model)
    for ours, theirs in zip(found.predict(images), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        halved = fold(model, precision="bfloat16").predict(images)
        torch.testing.assert_close(halved, found.predict(images), rtol=0, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    has_scales = any("gamma" in name or "scale1" in name for name in before)
    assert has_scales == (len(found.state_dict()) < len(before))


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return tmp_path / "image.png", pixels


def test_a_segmenter_does_what_its_parts_do_whatever_the_image_comes_as(picture):
    path, pixels = picture
    model = trained("eomt")
    options = {"stuff_classes": {0, 1}, "threshold": 0.0, "overlap_mask_area_threshold": 0.0}
    segment = Segmenter(model, precision="float32", **options)
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    with torch.no_grad():
        masks, classes = model.predict(EvalTransform((64, 64)).fit(image)[None])
    expected = post_process_panoptic_segmentation(
        masks, classes, target_sizes=[(50, 70)], input_size=(64, 64), **options
    )[0]
    assert expected["segments_info"]
    swapped = np.ascontiguousarray(pixels[..., ::-1])[..., ::-1]
    for given in (path, str(path), pixels, swapped, Image.fromarray(pixels), image):
        found = segment(given)
        assert found["segmentation"].shape == (50, 70)
        same = (found["segmentation"] == expected["segmentation"]).float().mean()
        assert same > 0.99
        labels = [info["label_id"] for info in expected["segments_info"]]
        assert [info["label_id"] for info in found["segments_info"]] == labels


@torch.no_grad()
def test_instances_are_what_the_parts_find(picture):
    path, pixels = picture
    model = trained("eomt")
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    masks, classes = model.predict(EvalTransform((64, 64)).fit(image)[None])
    (expected,) = post_process_instance_segmentation(
        masks, classes, target_sizes=[(50, 70)], input_size=(64, 64), top_k=9
    )
    found = Segmenter(model, task="instance", precision="float32", top_k=9)(path)
    assert found["segmentation"].shape == expected["segmentation"].shape
    assert (found["segmentation"] == expected["segmentation"]).float().mean() > 0.99
    for ours, theirs in zip(found["segments_info"], expected["segments_info"], strict=True):
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 4])
@torch.no_grad()
def test_a_semantic_map_is_made_window_by_window(picture, batch_size):
    path, pixels = picture
    model = trained("eomt")
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    windows = WindowTransform((64, 64)).fit(image)
    assert len(windows) == 2
    parts = [model.predict(window[None]) for window in windows]
    masks, classes = (torch.cat(part) for part in zip(*parts, strict=True))
    (expected,) = post_process_semantic_segmentation(
        masks, classes, target_sizes=[(50, 70)], input_size=(64, 64)
    )
    segment = Segmenter(model, task="semantic", precision="float32", batch_size=batch_size)
    found = segment(path)
    assert found.shape == (50, 70)
    assert (found == expected).float().mean() > 0.99


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 9])
@torch.no_grad()
def test_batches_of_any_size_give_what_one_view_after_the_other_gives(batch_size):
    segment = Segmenter(trained("eomt"), task="semantic", precision="float32")
    views = torch.randint(0, 256, (7, 3, 64, 64), dtype=torch.uint8)
    masks, classes = segment.predict_all(views, batch_size=batch_size)
    for index, view in enumerate(views):
        alone, own_classes = segment.predict(view[None])
        torch.testing.assert_close(masks.dense()[index], alone.dense()[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(classes[index], own_classes[0], rtol=1e-4, atol=1e-4)


def test_views_that_are_not_all_of_the_images_are_refused():
    segment = Segmenter(trained("eomt"), task="semantic", precision="float32")
    views = torch.zeros(4, 3, 64, 64, dtype=torch.uint8)
    sizes = [(64, 64), (64, 130)]
    assert [tuple(found.shape) for found in segment.segment_views(views, sizes)] == sizes
    with pytest.raises(ConfigurationError, match="4 views, but images of these sizes have 3"):
        next(segment.segment_views(views, [(64, 64), (64, 128)]))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_model_that_is_run_itself_predicts_as_it_does_alone(precision):
    model = trained("eomt-masked")
    segment = Segmenter(model, stuff_classes=(), precision=precision, masked=False, folded=False)
    assert segment.model is model
    views = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    masks, classes = segment.predict(views)
    with autocast_inference("cpu", precision):
        expected = model.predict_final(views, masked=False)
        usual = model.predict_final(views).class_logits[-1]
        layers = segment.predict_layers(views)
    assert classes.dtype == torch.float32
    assert torch.equal(classes, expected.class_logits[-1].float())
    assert torch.equal(masks.dense(), expected.masks[-1].dense())
    assert not torch.equal(classes, usual.float())
    torch.testing.assert_close(layers.class_logits[-1], usual, rtol=1e-2, atol=1e-2)


def test_sixteen_bits_change_little(picture):
    _, pixels = picture
    model = trained("eomt")
    found = [
        Segmenter(model, stuff_classes=(), precision=precision, threshold=0.0)(pixels)
        for precision in ("float32", "bfloat16")
    ]
    first, second = (result["segmentation"] for result in found)
    assert (first == second).float().mean() > 0.8


@pytest.mark.parametrize(
    "bad", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), torch.zeros(4, 5, 5).byte()]
)
def test_other_arrays_are_refused(bad):
    with pytest.raises(ConfigurationError, match="image"):
        Segmenter(trained("eomt"), stuff_classes=())(bad)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"a\.jpg"):
        Segmenter(trained("eomt"), stuff_classes=())(tmp_path / "a.jpg")


def test_what_a_task_does_not_know_or_lacks_is_named():
    model = trained("eomt")
    with pytest.raises(ConfigurationError, match="stuff_classes is not set"):
        Segmenter(model)
    with pytest.raises(ConfigurationError, match="'overlap' is not known"):
        Segmenter(model, task="semantic", overlap=1)
    with pytest.raises(ConfigurationError, match="task='instances'"):
        Segmenter(model, task="instances")
    with pytest.raises(ConfigurationError, match="mode='compield'"):
        Segmenter(model, task="semantic", mode="compield")
    with pytest.raises(ConfigurationError, match="batch_size=0"):
        Segmenter(model, task="semantic", batch_size=0)
