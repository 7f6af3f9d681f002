import pytest
import torch
from torch.nn import functional as F

from eomtlib.core.predictions import MaskLogits, matched_masks


@pytest.fixture
def masks():
    torch.manual_seed(0)
    return MaskLogits(torch.randn(2, 5, 8, 12), torch.randn(2, 7, 5))


def product(masks):
    return torch.einsum("bqc,bchw->bqhw", masks.embeddings, masks.features)


def test_factors_make_the_same_masks_in_whole_and_in_parts(masks):
    whole = product(masks)
    assert masks.shape == whole.shape
    torch.testing.assert_close(masks.dense(), whole)
    torch.testing.assert_close(masks.of_queries(1, [6, 0]), whole[1, [6, 0]])
    assert masks.of_queries(1, []).shape == (0, 8, 12)
    resized = F.interpolate(whole, size=(3, 4), mode="bilinear", align_corners=False)
    torch.testing.assert_close(masks.resized((3, 4)), resized.flatten(2))


def test_logits_that_are_no_product_are_taken_as_they_are(masks):
    dense = product(masks)
    plain = MaskLogits(dense)
    assert plain.dense() is dense
    assert torch.equal(plain.of_queries(0, [3]), dense[0, [3]])
    torch.testing.assert_close(plain.resized((3, 4)), masks.resized((3, 4)))


def test_matched_masks_of_layers_that_share_features_and_of_others(masks):
    own = MaskLogits(torch.randn(2, 5, 8, 12), torch.randn(2, 7, 5))
    shared = MaskLogits(masks.features, torch.randn(2, 7, 5))
    layers = [masks, shared, own, MaskLogits(product(own))]
    images, counts = torch.tensor([0, 0, 1]), (2, 1)
    queries = torch.tensor([[1, 4, 0], [2, 3, 6], [0, 1, 5], [6, 2, 2]])
    found = matched_masks(layers, images=images, queries=queries, counts=counts)
    expected = torch.cat(
        [layer.dense()[images, chosen] for layer, chosen in zip(layers, queries, strict=True)]
    )
    torch.testing.assert_close(found, expected)
    nothing = torch.empty(4, 0, dtype=torch.int64)
    empty = matched_masks(layers, images=nothing[0], queries=nothing, counts=(0, 0))
    assert empty.shape == (0, 8, 12)


def test_mixed_dtypes_of_autocast_are_met(masks):
    mixed = MaskLogits(masks.features, masks.embeddings.bfloat16())
    for found in (mixed.dense(), mixed.of_queries(0, [0, 1]), mixed.resized((3, 4))):
        assert found.isfinite().all()
    torch.testing.assert_close(mixed.dense().float(), product(masks), rtol=0.05, atol=0.1)


def test_gradients_of_mixed_dtypes_where_an_image_has_no_pair(masks):
    features = masks.features.clone().requires_grad_()
    full, half = (masks.embeddings.to(d).requires_grad_() for d in (torch.float32, torch.bfloat16))
    weights = torch.randn(2, 8, 12)
    found = []
    for embeddings in (full, half):
        rows = matched_masks(
            [MaskLogits(features, embeddings)],
            images=torch.tensor([0, 0]),
            queries=torch.tensor([[1, 4]]),
            counts=(2, 0),
        )
        found.append(torch.autograd.grad((rows * weights).sum(), [features, embeddings]))
    exact, mixed = found
    assert [g.dtype for g in mixed] == [torch.float32, torch.bfloat16]
    assert not mixed[0][1].any()
    for ours, expected in zip(mixed, exact, strict=True):
        torch.testing.assert_close(ours.float(), expected, rtol=0.05, atol=0.3)
