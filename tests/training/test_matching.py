import math

import numpy as np
import pytest
import torch
from transformers.models.mask2former.modeling_mask2former import Mask2FormerHungarianMatcher

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.predictions import Predictions
from eomtlib.core.structures import SegmentMap
from eomtlib.training import matching
from eomtlib.training.hyperparameters import LossConfig
from eomtlib.training.matching import match
from eomtlib.training.point_sampling import stack_maps

NUM_CLASSES = 6
CONFIG = LossConfig(num_points=128)


def random_target(num_segments, seed, size=(24, 32)):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((1, *size), -1, dtype=torch.int16)
    for segment in range(num_segments):
        y, x = (int(torch.randint(0, side * 2 // 3, (1,), generator=generator)) for side in size)
        ids[0, y : y + 10, x : x + 12] = segment
    return SegmentMap(
        ids=ids,
        labels=torch.randint(0, NUM_CLASSES, (num_segments,), generator=generator),
        is_crowd=torch.zeros(num_segments, dtype=torch.bool),
    )


def random_predictions(batch, num_queries=9, num_layers=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Predictions.from_dense(
        tuple(
            4 * torch.randn(batch, num_queries, 6, 8, generator=generator)
            for _ in range(num_layers)
        ),
        tuple(
            torch.randn(batch, num_queries, NUM_CLASSES + 1, generator=generator)
            for _ in range(num_layers)
        ),
    )


def random_points(batch):
    return torch.rand(batch, CONFIG.num_points, 2, generator=torch.Generator().manual_seed(7))


def run(predictions, targets, config=CONFIG):
    return match(
        predictions,
        targets,
        maps=stack_maps(targets),
        points=random_points(len(targets)),
        config=config,
    )


def pairs_of(matches, layer, image):
    own = matches.images == image
    return [
        tuple(pair)
        for pair in torch.stack((matches.queries[layer], matches.segments[layer]), 1)[own].tolist()
    ]


@pytest.mark.parametrize("at_once", [1, 9 * 128 * 3, 2**22])
def test_assignment_equals_transformers_on_the_same_points(at_once, monkeypatch):
    # One image at a time, three, and all of them.
    monkeypatch.setattr(matching, "_AT_ONCE", at_once)
    # The second image has more segments than there are queries.
    targets = [random_target(count, seed) for seed, count in enumerate((4, 11, 1, 7))]
    predictions = random_predictions(len(targets))
    matches = run(predictions, targets)
    assert matches.counts == (4, 9, 1, 7)
    assert (matches.num_targets, matches.num_surplus) == (23, 2)

    matcher = Mask2FormerHungarianMatcher(
        cost_class=2.0, cost_mask=5.0, cost_dice=5.0, num_points=CONFIG.num_points
    )
    masks = [
        (target.ids == torch.arange(target.num_segments)[:, None, None]).float()
        for target in targets
    ]
    labels = [target.labels for target in targets]
    for layer in range(len(predictions)):
        points = iter(random_points(len(targets)))
        monkeypatch.setattr(torch, "rand", lambda *_, points=points, **__: next(points)[None])
        theirs = matcher(
            predictions.mask_logits[layer], predictions.class_logits[layer], masks, labels
        )
        monkeypatch.undo()
        for image, (queries, segments) in enumerate(theirs):
            expected = list(zip(queries.tolist(), segments.tolist(), strict=True))
            assert pairs_of(matches, layer, image) == expected


def test_crowds_are_no_targets():
    target = random_target(5, seed=1)
    crowded = SegmentMap(target.ids, target.labels, torch.tensor([0, 1, 0, 0, 1]).bool())
    matches = run(random_predictions(2), [crowded, random_target(2, seed=2)])
    assert matches.counts == (3, 2)
    assert matches.num_targets == 5
    for layer in range(3):
        assert sorted(segment for _, segment in pairs_of(matches, layer, 0)) == [0, 2, 3]


def test_images_without_segments():
    matches = run(random_predictions(2), [random_target(0, seed=0), random_target(3, seed=1)])
    assert matches.counts == (0, 3)
    alone = run(random_predictions(1), [random_target(0, seed=0)])
    assert (alone.counts, alone.num_targets, alone.queries.shape) == ((0,), 0, (3, 0))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_broken_queries_are_matched_last(bad):
    predictions = random_predictions(1)
    for layer in predictions.mask_logits:
        layer[0, :4] = bad
    for layer in predictions.class_logits:
        layer[0, 0] = bad
    matches = run(predictions, [random_target(5, seed=3)])
    for layer in range(3):
        assert {query for query, _ in pairs_of(matches, layer, 0)} == {4, 5, 6, 7, 8}


def test_pairs_are_the_cheapest_under_the_configured_weights():
    # With the class alone, each segment must get the query that is surest of its class.
    target = random_target(NUM_CLASSES, seed=4)
    target = SegmentMap(target.ids, torch.arange(NUM_CLASSES), target.is_crowd)
    predictions = random_predictions(1, num_queries=NUM_CLASSES, num_layers=1)
    order = np.random.default_rng(0).permutation(NUM_CLASSES)
    for query, label in enumerate(order):
        predictions.class_logits[0][0, query, label] = 20.0
    config = LossConfig(mask_weight=0.0, dice_weight=0.0, num_points=CONFIG.num_points)
    matches = run(predictions, [target], config)
    assert pairs_of(matches, 0, 0) == list(enumerate(order.tolist()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="counts transfers from a GPU")
def test_costs_cross_to_the_host_once():
    targets = [random_target(count, seed).to("cuda") for seed, count in enumerate((4, 0, 7))]
    cpu = random_predictions(3)
    predictions = Predictions.from_dense(
        tuple(layer.cuda() for layer in cpu.mask_logits),
        tuple(layer.cuda() for layer in cpu.class_logits),
    )
    maps, points = stack_maps(targets), random_points(3).cuda()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchronizing") as caught:
            match(predictions, targets, maps=maps, points=points, config=CONFIG)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([w for w in caught if "synchronizing" in str(w.message)]) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_points", 0), ("oversample_ratio", 0.5), ("importance_sample_ratio", 1.1)],
)
def test_configuration_is_checked(field, value):
    with pytest.raises(ConfigurationError, match=field):
        LossConfig(**{field: value})
