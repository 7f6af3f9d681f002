from types import SimpleNamespace

import pytest
import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.predictions import MaskLogits
from eomtlib.inference.postprocessing import post_process_instance_segmentation
from tests.inference.postprocessing.samples import NUM_CLASSES, at_image_size, random_predictions


def naive(masks, classes, *, target_size, input_size, top_k):
    """One image, every query resized and every pair scored: ``[(score, label, mask)]``."""
    logits = at_image_size(masks, target_size=target_size, input_size=input_size)
    probabilities = classes.softmax(-1)
    pairs = [(float(probabilities[q, c]), q, c) for q in range(30) for c in range(NUM_CLASSES)]
    found = []
    for score, query, label in sorted(pairs, reverse=True)[:top_k]:
        mask = logits[query] > 0
        if mask.any():
            found.append((score * float(logits[query].sigmoid()[mask].mean()), label, mask))
    return sorted(found, key=lambda entry: -entry[0])


@pytest.mark.parametrize("top_k", [7, 100, 1000])
def test_equals_a_naive_loop_over_pairs(top_k):
    masks, classes = random_predictions(0, batch=3, size=(12, 24))
    masks[:, ::5] = -3.0  # queries that claim nothing
    target_sizes, input_size = [(60, 61), (30, 97), (96, 192)], (48, 96)
    results = post_process_instance_segmentation(
        masks, classes, target_sizes=target_sizes, input_size=input_size, top_k=top_k
    )
    for index, result in enumerate(results):
        expected = naive(
            masks[index],
            classes[index],
            target_size=target_sizes[index],
            input_size=input_size,
            top_k=top_k,
        )
        infos = result["segments_info"]
        assert len(expected) == len(infos) == len(result["segmentation"]) > 2
        assert [info["id"] for info in infos] == list(range(len(infos)))
        for info, mask, (score, label, own) in zip(
            infos, result["segmentation"], expected, strict=True
        ):
            assert info["score"] == pytest.approx(score, abs=1e-5)
            assert info["label_id"] == label
            assert torch.equal(mask, own)


def test_equals_transformers_mask2former():
    transformers = pytest.importorskip("transformers")
    masks, classes = random_predictions(1, batch=2, size=(96, 96), queries=40)
    theirs = transformers.Mask2FormerImageProcessor().post_process_instance_segmentation(
        SimpleNamespace(masks_queries_logits=masks, class_queries_logits=classes),
        threshold=0.3,
        target_sizes=[(384, 384)] * 2,
        return_binary_maps=True,
    )
    ours = post_process_instance_segmentation(
        masks,
        classes,
        target_sizes=[(384, 384)] * 2,
        input_size=(384, 384),
        threshold=0.3,
        top_k=40,
    )
    for our, their in zip(ours, theirs, strict=True):
        order = sorted(their["segments_info"], key=lambda info: -info["score"])
        assert len(order) == len(our["segments_info"]) > 5
        for mask, info, other in zip(our["segmentation"], our["segments_info"], order, strict=True):
            assert info["score"] == pytest.approx(other["score"], abs=2e-6)
            assert info["label_id"] == other["label_id"]
            assert torch.equal(mask, their["segmentation"][other["id"]].bool())


def test_factors_give_what_their_product_gives_and_only_what_is_kept_is_looked_at():
    _, classes = random_predictions(2, batch=1, size=(8, 8))
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 16, 8, 8, generator=generator)
    embeddings = torch.randn(1, 30, 16, generator=generator)
    masks = MaskLogits(features, embeddings)
    sizes = {"target_sizes": [(20, 33)], "input_size": (32, 32), "top_k": 5}
    (dense,) = post_process_instance_segmentation(masks.dense(), classes, **sizes)
    unused = classes[0, :, :-1].softmax(-1).amax(-1).argsort()[:10]
    embeddings[0, unused] = torch.nan
    (factors,) = post_process_instance_segmentation(masks, classes, **sizes)
    assert torch.equal(dense["segmentation"], factors["segmentation"])
    assert len(dense["segments_info"]) == 5


def test_nothing_is_found_where_no_mask_shows():
    masks, classes = torch.full((1, 3, 8, 8), -5.0), torch.zeros(1, 3, NUM_CLASSES + 1)
    (result,) = post_process_instance_segmentation(
        masks, classes, target_sizes=[(5, 9)], input_size=(32, 32)
    )
    assert result["segmentation"].shape == (0, 5, 9)
    assert result["segments_info"] == []


def test_what_does_not_fit_together_is_refused():
    masks, classes = random_predictions(2, batch=2, size=(8, 8))
    with pytest.raises(ConfigurationError, match="1 target_sizes"):
        post_process_instance_segmentation(
            masks, classes, target_sizes=[(8, 8)], input_size=(32, 32)
        )
