"""Images that are worked on in tiles, beside all maps at full size at once: the same to the bit."""

import pytest
import torch
from torch.nn import functional as F

from eomtlib.core.run_lengths import RunLengths
from eomtlib.data.feed.windows import WindowLayout
from eomtlib.inference.painting import paint_instances
from eomtlib.inference.postprocessing import (
    post_process_instance_segmentation,
    post_process_panoptic_segmentation,
    post_process_semantic_segmentation,
    resize_to_image,
    semantic_scores,
)
from eomtlib.inference.postprocessing.resizing import resize, resized_in_tiles
from tests.inference.postprocessing.samples import NUM_CLASSES, random_predictions

SIZE, CANVAS = (750, 1210), (64, 96)


@pytest.fixture(params=["one thread", "as many as there are"])
def predictions(request):
    # Sums of several rows are the same on any number of threads, those of a single row are not.
    before = torch.get_num_threads()
    if request.param == "one thread":
        torch.set_num_threads(1)
    yield random_predictions(4, batch=1, size=(16, 24))
    torch.set_num_threads(before)


@pytest.mark.parametrize("size", [(750, 1210), (64, 9001), (9001, 64), (31, 40), (5000, 3), (1, 1)])
@pytest.mark.parametrize("source", [(48, 64), (31, 40), (64, 3)])
def test_tiles_are_cuts_of_the_whole(size, source, monkeypatch):
    monkeypatch.setattr("eomtlib.inference.postprocessing.resizing._IN_CACHES", 2**18)
    maps = torch.randn(11, 70, 70, generator=torch.Generator().manual_seed(0))
    maps = maps[:, : source[0], : source[1]]  # as padding is cut off
    found = torch.full((11, *size), torch.nan)
    for own, columns, tile in resized_in_tiles(maps, size):
        assert tile.numel() <= max(2**18, 8 * size[0])
        found[own, :, columns] = tile
    assert torch.equal(found, torch.cat([resize(part, size) for part in maps.split(8)]))


def test_panoptic(predictions):
    masks, classes = predictions
    (result,) = post_process_panoptic_segmentation(
        masks,
        classes,
        target_sizes=[SIZE],
        input_size=CANVAS,
        stuff_classes={3, 4},
        threshold=0.3,
        overlap_mask_area_threshold=0.4,
    )
    scores, labels = classes[0].softmax(-1).max(-1)
    kept = torch.nonzero((labels < NUM_CLASSES) & (scores > 0.3)).flatten()
    assert len(kept) > 8
    probability = resize_to_image(masks[0, kept], target_size=SIZE, input_size=CANVAS).sigmoid()
    winner = (probability * scores[kept, None, None]).max(0).indices
    expected, ids, segments = torch.full(SIZE, -1, dtype=torch.int32), {}, 0
    for place, query in enumerate(kept.tolist()):
        own, won = probability[place] >= 0.5, winner == place
        if not (own & won).any() or won.sum() / own.sum() < 0.4:
            continue
        label = labels[query].item()
        number = ids.get(label, segments)
        if label in (3, 4):
            ids[label] = number
        segments = max(segments, number + 1)
        expected[own & won] = number
    assert len(result["segments_info"]) == segments > 3
    assert torch.equal(result["segmentation"], expected)


def test_instances_in_every_pixel_and_as_run_lengths(predictions, monkeypatch):
    masks, classes = predictions
    arguments = {"target_sizes": [SIZE], "input_size": CANVAS, "top_k": 21}
    (result,) = post_process_instance_segmentation(masks, classes, **arguments)
    logits = resize_to_image(masks[0], target_size=SIZE, input_size=CANVAS)
    own = logits > 0
    certainty = (logits.sigmoid() * own).flatten(1).sum(1) / own.flatten(1).sum(1).clamp(min=1)
    best = classes[0].softmax(-1)[:, :-1].flatten().topk(21)
    queries = best.indices // NUM_CLASSES
    scores = best.values * certainty[queries]
    order = [place for place in scores.argsort(descending=True).tolist() if scores[place] > 0]
    assert len(order) > 10
    found = [info["score"] for info in result["segments_info"]]
    assert found == scores[order].tolist()
    assert torch.equal(result["segmentation"], own[queries[order]])

    (small,) = post_process_instance_segmentation(masks, classes, **arguments, run_lengths=True)
    assert small["segments_info"] == result["segments_info"]
    assert small["segmentation"] == RunLengths.of(result["segmentation"])
    shown, expected = paint_instances(small), torch.full(SIZE, -1, dtype=torch.int32)
    surest = [place for place, score in enumerate(found) if score >= 0.5][::-1]
    for number, place in enumerate(surest):
        expected[result["segmentation"][place]] = number
    assert torch.equal(shown.ids, expected)
    assert shown.scores == [found[place] for place in surest]

    # As large images are: fewer masks at a time.
    monkeypatch.setattr("eomtlib.inference.postprocessing.resizing._NUMBERS", 2**21)
    (few,) = post_process_instance_segmentation(masks, classes, **arguments)
    assert few["segments_info"] == result["segments_info"]
    assert torch.equal(few["segmentation"], result["segmentation"])


@pytest.mark.parametrize("num_classes", [20, 300])
def test_semantic(num_classes):
    generator = torch.Generator().manual_seed(0)
    window = (64, 64)
    count = len(WindowLayout.of(SIZE, window).offsets)
    masks = F.interpolate(torch.randn(count, 12, 5, 5, generator=generator) * 6, size=(16, 16))
    classes = torch.randn(count, 12, num_classes + 1, generator=generator) * 3
    arguments = {"target_sizes": [SIZE], "input_size": window}
    (found,) = post_process_semantic_segmentation(masks, classes, **arguments)
    (scores,) = semantic_scores(masks, classes, **arguments)
    assert torch.equal(found, resize(scores, SIZE).max(0).indices)
    assert found.dtype == torch.int64
    assert found.unique().numel() > 5
