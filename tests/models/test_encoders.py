"""Encoders against timm's own forward pass, and tokens that must not disturb them."""

import pytest
import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import Tokens
from eomtlib.core.words import OWN_PRETRAININGS, PRETRAININGS, SIZES
from eomtlib.models.encoder_names import TIMM_NAMES, has_encoder
from eomtlib.models.encoders import build_encoder
from eomtlib.report.fidelity.inputs import spread_weights

FAMILIES = [("none", "nano"), *((p, "small") for p in TIMM_NAMES)]


def small_encoder(pretraining, size, image_size=(64, 96)):
    encoder = build_encoder(size=size, pretraining=pretraining, image_size=image_size).eval()
    spread_weights(encoder)
    return encoder


@pytest.mark.parametrize(("pretraining", "size"), FAMILIES)
@torch.no_grad()
def test_queries_that_nobody_looks_at_change_nothing(pretraining, size):
    encoder = small_encoder(pretraining, size)
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    alone = encoder(images)
    for num_queries in (2, 9):  # fewer and more than the prefix tokens
        tokens = encoder.embed(images).with_queries(torch.randn(1, num_queries, encoder.embed_dim))
        count = tokens.x.shape[1]
        attn_mask = torch.ones(1, 1, count, count, dtype=torch.bool)
        attn_mask[..., num_queries:, :num_queries] = False
        for index in range(encoder.depth):
            tokens = encoder.run_block(index, tokens, attn_mask)
        torch.testing.assert_close(
            encoder.norm(tokens.x)[:, num_queries:], alone, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("pretraining", ["dinov3", "eva02"])
@torch.no_grad()
def test_queries_have_no_position(pretraining):
    # Swapping two queries must swap their outputs, wherever the rotary table starts.
    encoder = small_encoder(pretraining, "small")
    queries = torch.randn(1, 6, encoder.embed_dim)
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    order = torch.tensor([5, 1, 2, 3, 4, 0])

    def run(queries: torch.Tensor) -> Tokens:
        tokens = encoder.embed(images).with_queries(queries)
        for index in range(encoder.depth):
            tokens = encoder.run_block(index, tokens)
        return tokens

    torch.testing.assert_close(
        run(queries).queries[:, order], run(queries[:, order]).queries, rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_another_image_size_keeps_what_it_has_learned():
    encoder = small_encoder("none", "nano", (64, 64))
    before = encoder.backbone.pos_embed.clone()
    encoder.set_image_size((96, 128))
    assert encoder.grid_size == (12, 16)
    assert encoder(torch.zeros(1, 3, 96, 128)).shape[1] == 12 * 16 + encoder.num_prefix
    encoder.set_image_size((64, 64))
    assert (encoder.backbone.pos_embed - before).abs().mean() < 0.5 * before.abs().mean()


def test_every_size_and_pretraining_is_built_with_the_papers_width():
    widths = {"small": (384, 12), "base": (768, 12), "large": (1024, 24), "giant": (1536, 40)}
    for pretraining in PRETRAININGS:
        for size in (size for size in widths if has_encoder(size, pretraining)):
            with torch.device("meta"):
                encoder = build_encoder(size=size, pretraining=pretraining, image_size=(320, 640))
            assert (encoder.embed_dim, encoder.depth) == widths[size]
            assert encoder.grid_size == (20, 40)


def test_our_own_pretrainings_have_one_architecture():
    for size in SIZES:
        with torch.device("meta"):
            built = [
                build_encoder(size=size, pretraining=pretraining, image_size=(64, 96))
                for pretraining in OWN_PRETRAININGS
                if has_encoder(size, pretraining)
            ]
        shapes = [{n: v.shape for n, v in encoder.state_dict().items()} for encoder in built]
        assert len(built) > 1
        assert all(one == shapes[0] for one in shapes)
    encoder = build_encoder(size="nano", pretraining="mim", image_size=(64, 96))
    assert (encoder.backbone.blocks[3].ls1.gamma == 1).all()


def test_names_are_checked_with_close_matches():
    with pytest.raises(ConfigurationError, match=r"size='lage'.*'large'"):
        build_encoder(size="lage", pretraining="none", image_size=(64, 64))
    with pytest.raises(ConfigurationError, match=r"dinov3.*giant.*small, base, large"):
        build_encoder(size="giant", pretraining="dinov3", image_size=(64, 64))
    with pytest.raises(ConfigurationError, match=r"image_size=100×64 .* 16.*96×64"):
        build_encoder(size="small", pretraining="none", image_size=(100, 64))
