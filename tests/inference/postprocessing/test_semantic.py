import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.predictions import MaskLogits
from eomtlib.data.feed.windows import WindowLayout
from eomtlib.inference.postprocessing import post_process_semantic_segmentation, semantic_scores
from tests.inference.postprocessing.samples import NUM_CLASSES, random_predictions


def naive_scores(masks, classes, target_size, window):
    """One image of square windows along its longer side, a pixel column or row at a time."""
    ratio = window / min(target_size)
    size = [max(window, round(side * ratio)) for side in target_size]
    count = math.ceil(max(size) / window)
    along = 0 if size[0] > size[1] else 1
    total, seen = torch.zeros(NUM_CLASSES, *size), torch.zeros(size)
    for number in range(count):
        start = (max(size) - window) * number // max(count - 1, 1)
        logits = F.interpolate(masks[number][None], size=(window, window), mode="bilinear")[0]
        for query in range(len(logits)):
            probabilities = classes[number, query].softmax(-1)[:NUM_CLASSES]
            part = probabilities[:, None, None] * logits[query].sigmoid()
            total.narrow(1 + along, start, window).add_(part)
        seen.narrow(along, start, window).add_(1)
    assert seen.min() > 0
    return total / seen


def test_equals_a_plain_loop_over_windows_and_queries():
    target_sizes, window = [(40, 40), (33, 90), (210, 50), (64, 40)], 32
    counts = [1, 3, 5, 2]
    masks, classes = random_predictions(0, batch=sum(counts), size=(8, 8))
    arguments = {"target_sizes": target_sizes, "input_size": (window, window)}
    scores = list(semantic_scores(masks, classes, **arguments))
    maps = post_process_semantic_segmentation(masks, classes, **arguments)
    first = 0
    for found, segmentation, size, count in zip(scores, maps, target_sizes, counts, strict=True):
        own = slice(first, first + count)
        expected = naive_scores(masks[own], classes[own], size, window)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        resized = F.interpolate(expected[None], size=size, mode="bilinear")[0]
        assert segmentation.shape == size
        # Scores that are equal to the last bits may go either way.
        best = resized.max(0).values
        assert (resized.gather(0, segmentation[None])[0] >= best - 1e-5).all()
        assert segmentation.unique().numel() > 2
        first += count


def test_equals_transformers_over_windows():
    transformers = pytest.importorskip("transformers")
    processor = transformers.EomtImageProcessor(
        size={"shortest_edge": 64, "longest_edge": None}, do_split_image=True, do_pad=False
    )
    target_sizes = [(64, 150), (200, 64), (64, 64)]
    images = [torch.zeros(3, *size, dtype=torch.uint8) for size in target_sizes]
    offsets = processor(images=images, return_tensors="pt")["patch_offsets"]
    layouts = [WindowLayout.of(size, (64, 64)) for size in target_sizes]
    ours = [
        [index, max(at), max(at) + 64] for index, own in enumerate(layouts) for at in own.offsets
    ]
    assert ours == [list(entry) for entry in offsets]
    masks, classes = random_predictions(3, batch=len(offsets), size=(16, 16))
    theirs = processor.post_process_semantic_segmentation(
        SimpleNamespace(
            masks_queries_logits=masks, class_queries_logits=classes, patch_offsets=offsets
        ),
        target_sizes=target_sizes,
    )
    found = post_process_semantic_segmentation(
        masks, classes, target_sizes=target_sizes, input_size=(64, 64)
    )
    for our, their in zip(found, theirs, strict=True):
        assert (our == their).float().mean() > 0.999


def test_more_classes_than_are_resized_at_once():
    generator = torch.Generator().manual_seed(0)
    masks = torch.randn(1, 60, 8, 8, generator=generator) * 5
    classes = torch.randn(1, 60, 41, generator=generator) * 4
    arguments = {"target_sizes": [(50, 50)], "input_size": (32, 32)}
    (scores,) = semantic_scores(masks, classes, **arguments)
    (found,) = post_process_semantic_segmentation(masks, classes, **arguments)
    expected = F.interpolate(scores[None], size=(50, 50), mode="bilinear")[0].argmax(0)
    assert torch.equal(found, expected)
    assert found.max() > 31


def test_factors_give_what_their_product_gives():
    _, classes = random_predictions(2, batch=2, size=(8, 8))
    generator = torch.Generator().manual_seed(0)
    masks = MaskLogits(
        torch.randn(2, 16, 8, 8, generator=generator),
        torch.randn(2, 30, 16, generator=generator),
    )
    arguments = {"target_sizes": [(20, 33)], "input_size": (32, 32)}
    for ours, dense in zip(
        semantic_scores(masks, classes, **arguments),
        semantic_scores(masks.dense(), classes, **arguments),
        strict=True,
    ):
        torch.testing.assert_close(ours, dense, rtol=0, atol=1e-5)


def test_windows_that_do_not_fit_the_sizes_are_refused():
    masks, classes = random_predictions(2, batch=2, size=(8, 8))
    with pytest.raises(ConfigurationError, match="3 windows"):
        post_process_semantic_segmentation(
            masks, classes, target_sizes=[(32, 96)], input_size=(32, 32)
        )
