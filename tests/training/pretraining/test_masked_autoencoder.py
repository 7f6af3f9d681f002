"""The masked autoencoder against a loop over patches, and what hidden patches must not do."""

import pytest
import torch

from eomtlib.data.sets.shapes_scene import render_scene
from eomtlib.models.encoders import build_encoder
from eomtlib.training.pretraining import MaskedAutoencoder, reconstruct

SIZE = (40, 64)
PATCH = 8


def autoencoder(*, floor=1e-6, mask_ratio=0.75):
    torch.manual_seed(0)
    encoder = build_encoder(size="nano", pretraining="mim", image_size=SIZE)
    return MaskedAutoencoder(encoder, mask_ratio=mask_ratio, floor=floor).eval()


def inputs(count=2):
    images = [torch.from_numpy(render_scene(0, 0, i, SIZE).image) for i in range(count)]
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand((count, SIZE[0] * SIZE[1] // PATCH**2), generator=generator)
    return torch.stack(images).permute(0, 3, 1, 2), noise


def naive_loss(model, images, noise):
    """One image and one patch at a time, the decoder's tokens in the order of the image."""
    backbone = model.encoder.backbone
    squares = []
    for image, draws in zip(images, noise, strict=True):
        image = (image / 255 - torch.tensor(backbone.pretrained_cfg["mean"]).view(3, 1, 1)) / (
            torch.tensor(backbone.pretrained_cfg["std"]).view(3, 1, 1)
        )
        visible = sorted(draws.argsort()[: model.num_visible].tolist())
        embedded = backbone.patch_embed(image[None])[0] + backbone.pos_embed[0]
        prefix = [backbone.cls_token[0, 0], *backbone.reg_token[0]]
        x = torch.stack([*prefix, *(embedded[place] for place in visible)])[None]
        x = model.embed(backbone.norm(backbone.blocks(x)))[0]
        row = list(x[: len(prefix)])
        for place in range(len(draws)):
            seen = place in visible
            token = x[len(prefix) + visible.index(place)] if seen else model.mask_token[0, 0]
            row.append(token + model.positions[0, place])
        x = torch.stack(row)[None]
        for block in model.blocks:
            x = block(x)
        predicted = model.head(model.norm(x))[0, len(prefix) :]
        for place in set(range(len(draws))) - set(visible):
            y, left = divmod(place, SIZE[1] // PATCH)
            cut = image[:, PATCH * y : PATCH * (y + 1), PATCH * left : PATCH * (left + 1)]
            cut = (cut - cut.mean()) / (cut.var() + model.floor).sqrt()
            guess = predicted[place].view(PATCH, PATCH, 3).permute(2, 0, 1)
            squares += (guess - cut).square().flatten().tolist()
    return torch.tensor(squares).mean()


@pytest.mark.parametrize(("floor", "mask_ratio"), [(1e-6, 0.75), (0.05, 0.5)])
@torch.no_grad()
def test_the_loss_is_that_of_a_loop_over_patches(floor, mask_ratio):
    model = autoencoder(floor=floor, mask_ratio=mask_ratio)
    assert model.num_visible == 40 * (1 - mask_ratio)
    images, noise = inputs()
    torch.testing.assert_close(
        model(images, noise), naive_loss(model, images, noise), rtol=1e-5, atol=1e-6
    )


@torch.no_grad()
def test_the_encoder_does_not_see_hidden_patches():
    model = autoencoder()
    images, noise = inputs()
    visible, hidden = model.split(noise)
    assert torch.equal(torch.cat((visible, hidden), 1).sort().values[0], torch.arange(40))
    before = model.encode(images, visible)
    for places, same in ((hidden, True), (visible, False)):
        changed = model.patchify(images.clone())
        changed.scatter_(1, places[..., None].expand(-1, -1, changed.shape[-1]), 255)
        after = model.encode(model.unpatchify(changed), visible)
        assert torch.equal(before, after) == same


@torch.no_grad()
def test_a_perfect_prediction_reconstructs_the_image(monkeypatch):
    model = autoencoder()
    images, noise = inputs()
    _, hidden = model.split(noise)
    wanted = model.targets(images)
    truth = torch.stack([patches[places] for patches, places in zip(wanted, hidden, strict=True)])
    shown, untrained = reconstruct(model, images, noise)
    monkeypatch.setattr(model, "predict", lambda *_: truth)
    _, perfect = reconstruct(model, images, noise)
    assert shown.dtype == untrained.dtype == torch.uint8
    assert (perfect.int() - images.int()).abs().max() <= 1
    grey = model.encoder.mean.round().to(torch.uint8)
    for image, masked, guessed, places in zip(images, shown, untrained, hidden, strict=True):
        for place in range(40):
            y, x = (PATCH * part for part in divmod(place, SIZE[1] // PATCH))
            window = (slice(None), slice(y, y + PATCH), slice(x, x + PATCH))
            if place in places:
                assert torch.equal(masked[window], grey.expand(3, PATCH, PATCH))
                assert not torch.equal(guessed[window], image[window])
            else:
                assert torch.equal(masked[window], image[window])
                assert torch.equal(guessed[window], image[window])
