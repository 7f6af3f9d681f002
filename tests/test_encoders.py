"""Encoders against timm's own forward pass, and tokens that must not disturb them."""

import pytest
import torch
from safetensors.torch import save_file

from eomtlib.encoder_weights import load_pretrained, resolve_pretraining
from eomtlib.encoders import PRETRAININGS, TIMM_NAMES, build_encoder
from eomtlib.errors import CheckpointError, ConfigurationError
from eomtlib.structures import Tokens

FAMILIES = [("none", "nano"), *((p, "small") for p in TIMM_NAMES)]


def small_encoder(pretraining, size, image_size=(64, 96)):
    torch.manual_seed(0)
    return build_encoder(size=size, pretraining=pretraining, image_size=image_size).eval()


@pytest.mark.parametrize(("pretraining", "size"), FAMILIES)
@torch.no_grad()
def test_block_by_block_equals_timm_on_a_non_square_image(pretraining, size):
    encoder = small_encoder(pretraining, size)
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    backbone = encoder.backbone
    expected = backbone.forward_features(
        (images / 255 - _stat(backbone, "mean")) / _stat(backbone, "std")
    )
    if pretraining == "eva02":
        expected = backbone.fc_norm(expected)
    torch.testing.assert_close(encoder(images), expected, rtol=1e-4, atol=1e-5)


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
        for size in TIMM_NAMES.get(pretraining, TIMM_NAMES["dinov2"]):
            with torch.device("meta"):
                encoder = build_encoder(size=size, pretraining=pretraining, image_size=(320, 640))
            assert (encoder.embed_dim, encoder.depth) == widths[size]
            assert encoder.grid_size == (20, 40)


def test_weights_file_is_resampled_and_checked(tmp_path):
    import timm

    release = timm.create_model(
        "vit_small_patch14_reg4_dinov2.lvd142m", pretrained=False, img_size=56
    )
    state = {name: value.clone() for name, value in release.state_dict().items()}
    path = tmp_path / "vit_small_patch14_reg4_dinov2.lvd142m.safetensors"
    save_file(state, path)
    encoder = small_encoder("dinov2", "small", (64, 64))
    load_pretrained(encoder, size="small", pretraining="dinov2", weights=tmp_path)
    torch.testing.assert_close(
        encoder.backbone.blocks[3].mlp.fc1.weight, state["blocks.3.mlp.fc1.weight"]
    )
    assert encoder.backbone.patch_embed.proj.weight.shape[-1] == 16

    wrong = dict(state, **{"blocks.3.mlp.fc1.weight": torch.zeros(5, 384)})
    save_file(wrong, path)
    fresh = small_encoder("dinov2", "small", (64, 64))
    before = fresh.backbone.blocks[0].norm1.weight.clone()
    with pytest.raises(
        CheckpointError, match=r"lvd142m.safetensors.*blocks.3.mlp.fc1.weight is 5×384"
    ):
        load_pretrained(fresh, size="small", pretraining="dinov2", weights=path)
    torch.testing.assert_close(fresh.backbone.blocks[0].norm1.weight, before)


def test_a_pickle_that_carries_code_is_refused(tmp_path):
    path = tmp_path / "weights.bin"
    torch.save({"blocks": print}, path)
    with pytest.raises(CheckpointError, match=r"weights.bin.*can carry code"):
        load_pretrained(
            small_encoder("dinov2", "small"), size="small", pretraining="dinov2", weights=path
        )


def test_names_are_checked_with_close_matches(tmp_path):
    with pytest.raises(ConfigurationError, match=r"size='lage'.*'large'"):
        build_encoder(size="lage", pretraining="none", image_size=(64, 64))
    with pytest.raises(ConfigurationError, match=r"dinov3.*giant.*small, base, large"):
        build_encoder(size="giant", pretraining="dinov3", image_size=(64, 64))
    with pytest.raises(ConfigurationError, match=r"image_size=100×64 .* 16.*96×64"):
        build_encoder(size="small", pretraining="none", image_size=(100, 64))
    with pytest.raises(ConfigurationError, match=r"weights=.*lvd142m.safetensors"):
        load_pretrained(
            small_encoder("dinov2", "small"), size="small", pretraining="dinov2", weights=tmp_path
        )


def test_auto_is_none_for_our_own_sizes_and_dinov2_where_a_file_is_given(tmp_path):
    assert resolve_pretraining("auto", size="nano") == "none"
    assert resolve_pretraining("auto", size="small", weights=tmp_path) == "dinov2"


def _stat(backbone, name):
    return torch.tensor(backbone.pretrained_cfg[name]).view(3, 1, 1)
