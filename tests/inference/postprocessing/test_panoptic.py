from types import SimpleNamespace

import pytest
import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.inference.postprocessing import post_process_panoptic_segmentation
from tests.inference.postprocessing.samples import NUM_CLASSES, at_image_size, random_predictions

STUFF = {3, 4, 5}


def naive(masks, classes, *, target_size, input_size, threshold, mask_threshold, overlap):
    """One image, one query after the other, every query resized."""
    logits = at_image_size(masks, target_size=target_size, input_size=input_size)
    probability, best, winner = logits.sigmoid(), None, None
    scores, labels = classes.softmax(-1).max(-1)
    queries = [q for q in range(len(scores)) if labels[q] < NUM_CLASSES and scores[q] > threshold]
    segmentation = torch.full(target_size, -1, dtype=torch.int32)
    for q in queries:
        value = scores[q] * probability[q]
        winner = torch.full(target_size, q) if best is None else winner.where(value <= best, q)
        best = value if best is None else value.maximum(best)
    infos, fused = [], {}
    for q in queries:
        own, won = probability[q] >= mask_threshold, winner == q
        if not (own & won).any() or won.sum() < overlap * own.sum():
            continue
        label = int(labels[q])
        segment_id = fused.get(label, len(infos))
        segmentation[own & won] = segment_id
        if segment_id == len(infos):
            infos.append((segment_id, label, float(scores[q]), label in STUFF))
        if label in STUFF:
            fused[label] = segment_id
    return segmentation, infos


@pytest.mark.parametrize(
    ("input_size", "target_sizes"),
    [
        ((64, 64), [(64, 64), (48, 80), (121, 37), (1, 200)]),
        ((48, 96), [(60, 61), (30, 97), (48, 96), (96, 192)]),
    ],
)
def test_equals_a_naive_loop_over_queries(input_size, target_sizes):
    masks, classes = random_predictions(0, batch=4, size=(input_size[0] // 4, input_size[1] // 4))
    found = 0
    for threshold, mask_threshold, overlap in ((0.8, 0.5, 0.8), (0.5, 0.3, 0.3)):
        results = post_process_panoptic_segmentation(
            masks,
            classes,
            target_sizes=target_sizes,
            input_size=input_size,
            stuff_classes=STUFF,
            threshold=threshold,
            mask_threshold=mask_threshold,
            overlap_mask_area_threshold=overlap,
        )
        for index, result in enumerate(results):
            segmentation, infos = naive(
                masks[index],
                classes[index],
                target_size=target_sizes[index],
                input_size=input_size,
                threshold=threshold,
                mask_threshold=mask_threshold,
                overlap=overlap,
            )
            assert torch.equal(result["segmentation"], segmentation)
            assert [tuple(info.values()) for info in result["segments_info"]] == [
                (i, label, pytest.approx(score), fused) for i, label, score, fused in infos
            ]
            found += len(infos)
    assert found > 10


def test_equals_transformers_on_square_images():
    transformers = pytest.importorskip("transformers")
    processor = transformers.EomtImageProcessor(size={"shortest_edge": 64, "longest_edge": 64})
    masks, classes = random_predictions(1, batch=3, size=(16, 16))
    target_sizes = [(64, 64), (100, 100), (40, 40)]
    theirs = processor.post_process_panoptic_segmentation(
        SimpleNamespace(masks_queries_logits=masks, class_queries_logits=classes),
        target_sizes=target_sizes,
        overlap_mask_area_threshold=0.4,
        stuff_classes=sorted(STUFF),
    )
    ours = post_process_panoptic_segmentation(
        masks,
        classes,
        target_sizes=target_sizes,
        input_size=(64, 64),
        stuff_classes=STUFF,
        overlap_mask_area_threshold=0.4,
    )
    assert sum(len(result["segments_info"]) for result in ours) > 6
    for our, their in zip(ours, theirs, strict=True):
        assert torch.equal(our["segmentation"].long(), their["segmentation"].long())
        for mine, other in zip(our["segments_info"], their["segments_info"], strict=True):
            assert mine["score"] == pytest.approx(other["score"], abs=1e-6)
            assert {key: mine[key] for key in ("id", "label_id")} == {
                key: other[key] for key in ("id", "label_id")
            }


def test_no_query_and_empty_masks_give_nothing():
    masks = torch.full((2, 3, 8, 8), -5.0)
    classes = torch.zeros(2, 3, NUM_CLASSES + 1)
    classes[0, :, -1] = 9.0
    classes[1, :, 2] = 9.0
    # Queries that are not kept are not looked at.
    masks[0] = torch.nan
    results = post_process_panoptic_segmentation(
        masks, classes, target_sizes=[(5, 9), (7, 3)], input_size=(32, 32), stuff_classes=STUFF
    )
    for result, size in zip(results, [(5, 9), (7, 3)], strict=True):
        assert torch.equal(result["segmentation"], torch.full(size, -1, dtype=torch.int32))
        assert result["segments_info"] == []


def test_what_does_not_fit_together_is_refused():
    masks, classes = random_predictions(2, batch=2, size=(8, 8))
    rest = {"input_size": (32, 32), "stuff_classes": STUFF}
    with pytest.raises(ConfigurationError, match="1 target_sizes"):
        post_process_panoptic_segmentation(masks, classes, target_sizes=[(8, 8)], **rest)
    with pytest.raises(ConfigurationError, match="30 queries, class_logits 29"):
        post_process_panoptic_segmentation(masks, classes[:, 1:], target_sizes=[(8, 8)] * 2, **rest)
