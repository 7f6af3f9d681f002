"""The linear probe: classes in features against noise, and scores against torchmetrics."""

import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_jaccard_index

from eomtlib.data.sets.shapes_scene import CLASSES
from eomtlib.models.encoders import build_encoder
from eomtlib.training.pretraining import probe as probe_module
from eomtlib.training.pretraining.probe import (
    LinearProbe,
    effective_rank,
    fitted,
    mean_iou,
    patch_features,
)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build_encoder(size="nano", pretraining="mim", image_size=(64, 64))


def test_features_that_carry_the_class_score_higher_than_noise(encoder, monkeypatch):
    probe = LinearProbe((64, 64))
    shares = F.one_hot(probe.labels, len(CLASSES) + 1).movedim(-1, 1).float()
    shares = F.avg_pool2d(shares, 8).permute(0, 2, 3, 1)
    noise = torch.randn((*shares.shape[:3], 20), generator=torch.Generator().manual_seed(0))
    scores = []
    for features in (noise, torch.cat((shares, noise), -1)):
        monkeypatch.setattr(probe_module, "patch_features", lambda *_, f=features: f)
        scores.append(probe(encoder).miou)
    assert scores[0] < 0.08 < 0.6 < scores[1]


def test_the_score_of_an_encoder_is_its_weights_alone(encoder):
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    probe = LinearProbe((32, 48))
    encoder.set_image_size((32, 48))
    images = probe.images[:3]
    features = patch_features(encoder, images)
    assert features.shape == (3, 4, 6, 256)
    expected = encoder(images)[:, encoder.num_prefix :].unflatten(1, (4, 6))
    torch.testing.assert_close(features[..., 128:], expected)
    torch.manual_seed(1)
    first = probe(encoder)
    torch.manual_seed(2)
    assert probe(encoder) == first
    encoder.set_image_size((64, 64))
    assert all(torch.equal(before[n], v) for n, v in encoder.state_dict().items() if "pos" not in n)


def test_the_layer_finds_shares_that_a_linear_layer_has_made():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn((600, 5), generator=generator)
    made = (features @ torch.randn((5, 3), generator=generator)).softmax(1)
    found = fitted(features, made)(features).softmax(1)
    torch.testing.assert_close(found, made, rtol=0, atol=0.01)
    # What is void counts for nothing.
    known = torch.arange(600) < 500
    void = torch.where(known[:, None], made, torch.zeros(()))
    features[~known] = 3
    torch.testing.assert_close(
        fitted(features, void)(features).softmax(1)[known], made[known], rtol=0, atol=0.01
    )


def test_mean_iou_is_that_of_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    labels, wrong = torch.randint(len(CLASSES) - 2, (2, 40, 100), generator=generator)
    predicted = torch.where(torch.rand(40, 100, generator=generator) < 0.5, labels, wrong)
    void = torch.rand(40, 100, generator=generator) < 0.1
    expected = multiclass_jaccard_index(
        predicted, labels.where(~void, -1), num_classes=len(CLASSES) - 2, ignore_index=-1
    )
    labels[void] = len(CLASSES)
    assert mean_iou(predicted, labels) == pytest.approx(float(expected))


def test_effective_rank_counts_directions():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn((5000, 8), generator=generator)
    assert effective_rank(features) == pytest.approx(8, rel=0.01)
    assert effective_rank(features[:, :1] * torch.ones(8) + 3) == pytest.approx(1, abs=1e-3)
