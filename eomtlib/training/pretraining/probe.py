"""How well a linear layer on frozen patches tells classes apart: what pretraining comes to.

The usual probe of dense features (DINOv2, Section 7.4), in seconds: on scenes of the training split
of ``shapes`` alone, whatever was pretrained on.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eomtlib.data.sets.shapes_scene import CLASSES, render_scene
from eomtlib.models.encoders import Encoder

_FIT, _JUDGED = 500, 200
_STEPS, _DECAY = 30, 1e-4
_BATCH = 50
_VOID = len(CLASSES)


class ProbeScore(NamedTuple):
    """What a probe has found.

    Attributes:
        miou: mean intersection over union of the classes, in [0, 1].
        rank: of the features, as ``effective_rank``.
    """

    miou: float
    rank: float


class LinearProbe:
    """The labelled images of a probe: its scores of two encoders may be compared.

    Args:
        image_size: height and width.
    """

    def __init__(self, image_size: tuple[int, int]) -> None:
        scenes = [render_scene(0, 0, index, image_size) for index in range(_FIT + _JUDGED)]
        images = [torch.from_numpy(scene.image).permute(2, 0, 1) for scene in scenes]
        self.images = torch.stack(images)
        # Void, −1, is the last entry.
        labels = [torch.tensor([*s.labels, _VOID])[torch.from_numpy(s.ids).long()] for s in scenes]
        self.labels = torch.stack(labels)

    def __call__(self, encoder: Encoder) -> ProbeScore:
        """The score of an encoder, which stays as it is; the same for the same weights."""
        features = patch_features(encoder, self.images)
        patches = features[:_FIT].flatten(0, 2)
        rank = effective_rank(patches)
        features = (features - patches.mean(0)) / (patches.std(0) + 1e-6)
        shares = F.one_hot(self.labels, _VOID + 1).movedim(-1, 1).float().to(features.device)
        shares = F.avg_pool2d(shares[:_FIT, :_VOID], encoder.patch_size).permute(0, 2, 3, 1)
        layer = fitted(features[:_FIT].flatten(0, 2), shares.flatten(0, 2))
        scores = layer(features[_FIT:]).permute(0, 3, 1, 2)
        sides = self.labels.shape[1:]
        scores = F.interpolate(scores, sides, mode="bilinear", align_corners=False)
        miou = mean_iou(scores.argmax(1).cpu(), self.labels[_FIT:])
        return ProbeScore(miou, rank)


@torch.no_grad()
def patch_features(encoder: Encoder, images: Tensor) -> Tensor:
    """Tokens of the middle block and of the last, after the final norm, ``[N, rows, cols, 2 D]``.

    Args:
        encoder: frozen here.
        images: ``[N, 3, H, W]``, values 0 to 255.
    """
    last = encoder.depth - 1
    found = []
    for batch in images.split(_BATCH):
        tokens = patch_tokens(encoder, batch.to(encoder.mean.device), (last // 2, last))
        found.append(torch.cat(tokens, -1).float())
    return torch.cat(found).unflatten(1, encoder.grid_size)


def patch_tokens(encoder: Encoder, images: Tensor, blocks: tuple[int, ...]) -> list[Tensor]:
    """The patches after each of some blocks and the final norm, ``[B, P, D]``.

    Args:
        encoder: on the images' device.
        images: ``[B, 3, H, W]``, values 0 to 255.
        blocks: indices, ascending.
    """
    tapped = encoder.tap(images, blocks)[1]
    return [encoder.norm(tokens.x)[:, encoder.num_prefix :] for tokens in tapped]


@torch.no_grad()
def fitted(features: Tensor, shares: Tensor) -> nn.Linear:
    """The linear layer whose softmax is nearest to ``[N, C]`` shares of classes, by L-BFGS.

    Args:
        features: ``[N, D]``.
        shares: of each class in a patch; what is missing to 1 is void, and counts for nothing.
    """
    layer = nn.Linear(features.shape[1], shares.shape[1], device=features.device)
    for parameter in layer.parameters():
        parameter.zero_()
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=_STEPS, line_search_fn="strong_wolfe"
    )

    @torch.enable_grad()
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(features), shares) + _DECAY * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return layer


def mean_iou(predicted: Tensor, labels: Tensor) -> float:
    """The mean over classes of intersection / union, over all pixels but void ones.

    Args:
        predicted: class of each pixel, of any shape.
        labels: likewise; ``len(CLASSES)`` for void.
    """
    known = labels != _VOID
    pairs = predicted[known] * _VOID + labels[known]
    confusion = pairs.bincount(minlength=_VOID**2).view(_VOID, _VOID).double()
    hit = confusion.diag()
    union = confusion.sum(0) + confusion.sum(1) - hit
    return float((hit[union > 0] / union[union > 0]).mean())


def effective_rank(features: Tensor) -> float:
    """In how many directions features vary; 1 for those that have collapsed.

    It is the exponential of the entropy of their covariance's eigenvalues, as shares.

    RankMe (Garrido et al., ICML 2023) has the singular values of the features instead.

    Args:
        features: ``[N, D]``.
    """
    values = torch.linalg.eigvalsh(features.T.cov().double()).clamp(min=0)
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())
