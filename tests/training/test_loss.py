import multiprocessing
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch.nn import functional as F
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.core.predictions import MaskLogits, Predictions
from eomtlib.core.structures import SegmentMap
from eomtlib.training.hyperparameters import LossConfig
from eomtlib.training.loss import SegmentationLoss
from eomtlib.training.matching import match
from eomtlib.training.point_sampling import stack_maps

NUM_CLASSES = 6
CONFIG = LossConfig(num_points=160)
UNCERTAIN = 120


def random_target(num_segments, seed, size=(24, 32), layers=1):
    """Segments that cover each other in one layer, and overlap in several."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((layers, *size), -1, dtype=torch.int16)
    for segment in range(num_segments):
        y, x = (int(torch.randint(0, side * 2 // 3, (1,), generator=generator)) for side in size)
        ids[segment % layers, y : y + 10, x : x + 12] = segment
    return SegmentMap(
        ids=ids,
        labels=torch.randint(0, NUM_CLASSES, (num_segments,), generator=generator),
        is_crowd=torch.zeros(num_segments, dtype=torch.bool),
    )


def random_predictions(batch, num_queries=9, num_layers=3, seed=0, factors="none"):
    """Mask logits as such, or as factors whose features the layers share or do not share."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return (3 * torch.randn(shape, generator=generator)).requires_grad_()

    def masks():
        if factors == "none":
            return [MaskLogits(normal(batch, num_queries, 6, 8)) for _ in range(num_layers)]
        features = [normal(batch, 4, 6, 8) for _ in range(num_layers)]
        if factors == "shared":
            features = features[:1] * num_layers
        return [MaskLogits(layer, normal(batch, num_queries, 4)) for layer in features]

    return Predictions(
        tuple(masks()),
        tuple(normal(batch, num_queries, NUM_CLASSES + 1) for _ in range(num_layers)),
    )


def only(predictions, images):
    return Predictions.from_dense(
        [layer[images] for layer in predictions.mask_logits],
        [layer[images] for layer in predictions.class_logits],
    )


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def leaves(predictions):
    """What the gradients go to, each once."""
    factors = [x for m in predictions.masks for x in (m.features, m.embeddings) if x is not None]
    return [*dict.fromkeys(factors), *predictions.class_logits]


@pytest.mark.parametrize(
    ("factors", "layers"), [("none", 1), ("shared", 1), ("of each layer", 1), ("none", 3)]
)
def test_loss_and_gradients_equal_transformers_on_the_same_points(monkeypatch, factors, layers):
    # The third image has more segments than there are queries.
    targets = [
        random_target(count, seed, layers=1 if seed == 1 else layers)
        for seed, count in enumerate((4, 1, 11, 6))
    ]
    predictions = random_predictions(len(targets), factors=factors)
    out = SegmentationLoss(NUM_CLASSES, CONFIG)(
        predictions, targets, generators=generators(0, 1, 2, 3)
    )
    assert out.num_surplus == 2
    gradients = torch.autograd.grad(out.total, leaves(predictions))

    # The draws in the order that SegmentationLoss documents, handed to transformers in its own.
    counts, num_layers = (4, 1, 9, 6), len(predictions)
    replay = [
        (
            torch.rand(160, 2, generator=generator),
            torch.rand(num_layers, count, 480, 2, generator=generator),
            torch.rand(num_layers, count, 160 - UNCERTAIN, 2, generator=generator),
        )
        for generator, count in zip(generators(0, 1, 2, 3), counts, strict=True)
    ]
    masks = [
        (target.ids[:, None] == torch.arange(target.num_segments)[:, None, None]).any(0).float()
        for target in targets
    ]
    assert any((own.sum(0) > 1).any() for own in masks) == (layers > 1)
    labels = [target.labels for target in targets]
    configuration = Mask2FormerConfig(num_labels=NUM_CLASSES, train_num_points=160)
    criterion = Mask2FormerLoss(configuration, weight_dict={})
    total = 0.0
    for layer in range(num_layers):
        queue = [matching[None] for matching, _, _ in replay]
        queue.append(torch.cat([candidates[layer] for _, candidates, _ in replay]))
        queue.append(torch.cat([uniform[layer] for _, _, uniform in replay]))

        def next_draw(*shape, device=None, queue=queue):
            draw = queue.pop(0)
            assert draw.shape == shape
            return draw

        monkeypatch.setattr(torch, "rand", next_draw)
        losses = criterion(
            predictions.mask_logits[layer], predictions.class_logits[layer], masks, labels
        )
        monkeypatch.undo()
        assert not queue
        for ours, theirs in (
            (out.class_loss, "loss_cross_entropy"),
            (out.mask_loss, "loss_mask"),
            (out.dice_loss, "loss_dice"),
        ):
            torch.testing.assert_close(ours[layer], losses[theirs].detach(), rtol=0, atol=1e-5)
        total = total + 2 * losses["loss_cross_entropy"]
        total = total + 5 * losses["loss_mask"] + 5 * losses["loss_dice"]
    torch.testing.assert_close(out.total, total, rtol=1e-6, atol=1e-5)
    expected = torch.autograd.grad(total, leaves(predictions))
    for ours, theirs in zip(gradients, expected, strict=True):
        assert theirs.abs().max() > 1e-3
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_weights_of_classes_are_those_of_a_weighted_mean():
    targets = [random_target(count, seed) for seed, count in enumerate((4, 1, 6))]
    predictions = random_predictions(len(targets))
    given = (1.0, 4.0, 0.5, 2.0, 0.0, 1.0)
    config = replace(CONFIG, class_weights=given)
    out = SegmentationLoss(NUM_CLASSES, config)(
        predictions, targets, generators=generators(0, 1, 2)
    )
    plain = SegmentationLoss(NUM_CLASSES, CONFIG)(
        predictions, targets, generators=generators(0, 1, 2)
    )
    torch.testing.assert_close(out.mask_loss, plain.mask_loss)
    # The matching does not look at them, so the pairs are those of a plain run.
    maps, points = (
        stack_maps(targets),
        torch.stack([torch.rand(160, 2, generator=g) for g in generators(0, 1, 2)]),
    )
    pairs = match(predictions, targets, maps=maps, points=points, config=CONFIG)
    weight = torch.tensor((*given, CONFIG.no_object_weight))
    for layer, logits in enumerate(predictions.class_logits):
        wanted = torch.full(logits.shape[:2], NUM_CLASSES)
        columns = pairs.images, pairs.queries[layer], pairs.segments[layer]
        for image, query, segment in zip(*columns, strict=True):
            wanted[image, query] = targets[image].labels[segment]
        expected = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), weight)
        torch.testing.assert_close(out.class_loss[layer], expected.detach())
    with pytest.raises(ConfigurationError, match="2 numbers, and there are 6 classes"):
        SegmentationLoss(NUM_CLASSES, replace(CONFIG, class_weights=(1.0, 2.0)))


def test_images_do_not_depend_on_their_batch():
    targets = [random_target(count, seed) for seed, count in enumerate((4, 0, 7))]
    predictions = random_predictions(3)
    loss = SegmentationLoss(NUM_CLASSES, CONFIG)
    whole = loss(predictions, targets, generators=generators(5, 6, 7))
    first = loss(only(predictions, [0]), targets[:1], generators=generators(5))
    rest = loss(only(predictions, [2, 1]), [targets[2], targets[1]], generators=generators(7, 6))
    for name in ("mask_loss", "dice_loss"):
        parts = 4 * getattr(first, name) + 7 * getattr(rest, name)
        torch.testing.assert_close(11 * getattr(whole, name), parts)


def test_half_precision_is_computed_in_float32():
    targets = [random_target(4, seed=0), random_target(3, seed=1)]
    predictions = random_predictions(2)
    half = Predictions.from_dense(
        [layer.detach().bfloat16().requires_grad_() for layer in predictions.mask_logits],
        [layer.detach().bfloat16().requires_grad_() for layer in predictions.class_logits],
    )
    full = Predictions.from_dense(
        [layer.detach().float() for layer in half.mask_logits],
        [layer.detach().float() for layer in half.class_logits],
    )
    loss = SegmentationLoss(NUM_CLASSES, CONFIG)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = loss(half, targets, generators=generators(0, 1))
    assert out.total.dtype == torch.float32
    assert torch.equal(out.total, loss(full, targets, generators=generators(0, 1)).total)
    out.total.backward()
    assert all(logits.grad.isfinite().all() for logits in leaves(half))


def test_without_segments_only_the_classes_teach():
    predictions = random_predictions(2)
    targets = [random_target(0, seed=0), random_target(2, seed=1)]
    crowd = SegmentMap(targets[1].ids, targets[1].labels, torch.ones(2, dtype=torch.bool))
    out = SegmentationLoss(NUM_CLASSES, CONFIG)(
        predictions, [targets[0], crowd], generators=generators(0, 1)
    )
    out.total.backward()
    assert out.mask_loss.tolist() == out.dice_loss.tolist() == [0, 0, 0]
    torch.testing.assert_close(out.total, 2 * out.class_loss.sum())
    assert all(not logits.grad.any() for logits in predictions.mask_logits)
    assert all(logits.grad.any() for logits in predictions.class_logits)


def test_missing_generators_are_reported():
    with pytest.raises(DataError, match="2 images, 2 targets and 1 generators"):
        SegmentationLoss(NUM_CLASSES, CONFIG)(
            random_predictions(2),
            [random_target(1, seed=0), random_target(1, seed=1)],
            generators=generators(0),
        )


def _loss_of_one_image(rank, folder, queue):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    loss = SegmentationLoss(NUM_CLASSES, CONFIG)
    target = random_target((2, 7)[rank], seed=rank)
    out = loss(only(random_predictions(2), [rank]), [target], generators=generators(rank))
    queue.put((rank, (out.mask_loss.tolist(), out.class_loss.tolist())))
    dist.destroy_process_group()


@pytest.mark.slow
def test_mean_over_two_processes_is_the_loss_of_their_whole_batch(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [
        context.Process(target=_loss_of_one_image, args=(rank, tmp_path, queue)) for rank in (0, 1)
    ]
    for worker in workers:
        worker.start()
    found = dict(queue.get(timeout=300) for _ in workers)
    for worker in workers:
        worker.join()
    whole = SegmentationLoss(NUM_CLASSES, CONFIG)(
        random_predictions(2),
        [random_target(2, seed=0), random_target(7, seed=1)],
        generators=generators(0, 1),
    )
    mean = (torch.tensor(found[0]) + torch.tensor(found[1])) / 2
    torch.testing.assert_close(mean, torch.stack([whole.mask_loss, whole.class_loss]))
