"""Any plain ViT of timm by name: every rung on it, against timm's own forward pass and loading."""

from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from eomtlib.core.errors import CheckpointError, ConfigurationError
from eomtlib.core.words import PAPER_SIZES
from eomtlib.evaluation.costs import count_gmacs, count_parameters
from eomtlib.inference.folding import fold
from eomtlib.models import encoders
from eomtlib.models.attention_maps import query_attention
from eomtlib.models.build import build_model, own_choices
from eomtlib.models.checkpoints import ModelConfig, load_model, save_model
from eomtlib.models.encoders import build_encoder
from eomtlib.models.ladder import HEAD_SIZES, LADDER
from eomtlib.models.timm_vits import PAPER_VITS, nearest_size, timm_options, timm_vit
from eomtlib.models.weights import encoder as encoder_weights
from eomtlib.models.weights.encoder import load_pretrained
from eomtlib.report.fidelity.inputs import normalized, random_images, spread_weights
from eomtlib.training.hyperparameters import OptimizerConfig
from eomtlib.training.optimization import parameter_groups

SIZE = (320, 448)

FAMILIES = {
    "SigLIP 2": "vit_base_patch16_siglip_512.v2_webli",
    "SigLIP, SO-400M": "vit_so400m_patch14_siglip_384.webli",
    "CLIP, OpenAI": "vit_base_patch16_clip_224.openai",
    "CLIP, quick GELU, patch 32": "vit_base_patch32_clip_quickgelu_224.metaclip_400m",
    "MAE": "vit_base_patch16_224.mae",
    "DINO": "vit_small_patch8_224.dino",
    "DINOv2 without registers": "vit_small_patch14_dinov2.lvd142m",
    "DINOv3, S+": "vit_small_plus_patch16_dinov3_qkvb.lvd1689m",
    "DINOv3, H+": "vit_huge_plus_patch16_dinov3.lvd1689m",
    "Perception Encoder, core": "vit_pe_core_tiny_patch16_384.fb",
    "Perception Encoder, spatial": "vit_pe_spatial_tiny_patch16_512.fb",
    "AugReg": "vit_tiny_patch16_224.augreg_in21k",
    "EVA-02, CLIP": "eva02_base_patch16_clip_224.merged2b",
    "EVA, without rotation": "eva_giant_patch14_224.clip_ft_in1k",
    "EVA-02, enormous, norms after": "eva02_enormous_patch14_clip_224.laion2b",
    "AIMv2": "aimv2_large_patch14_224.apple_pt",
    "DeiT": "deit_tiny_patch16_224.fb_in1k",
    "DeiT-III": "deit3_medium_patch16_224.fb_in1k",
    "BEiT-3": "beit3_base_patch16_224.indomain_in22k_ft_in1k",
    "rotary, axial": "vit_small_patch16_rope_224.naver_in1k",
    "rotary, learned": "vit_small_patch16_rope_mixed_224.naver_in1k",
    "rotary, learned, and positions": "vit_small_patch16_rope_mixed_ape_224.naver_in1k",
    "rotary, registers, averaged": "vit_betwixt_patch16_rope_reg4_gap_256.sbb_in1k",
    "registers, averaged": "vit_little_patch16_reg4_gap_256.sbb_in1k",
    "norms after": "vit_base_patch16_rpn_224.sw_in1k",
    "InternViT, no final norm": "vit_intern300m_patch14_448.ogvl_dist",
    "FlexiViT": "flexivit_small.1200ep_in1k",
}
RUNGS = ("eomt-masked", "eomt", "pmt", "vit-adapter-m2f")
WHOLE_LADDERS = ("SigLIP 2", "DINOv2 without registers", "rotary, learned", "norms after")
"""Those that ``eomt-masked`` and the ViT-Adapter, which takes seconds, always run on."""
QUICK = ("eomt", "pmt")

LEARNING = [
    pytest.param(
        name,
        rung,
        id=f"{family}, {rung}",
        marks=[] if rung in QUICK or family in WHOLE_LADDERS else [pytest.mark.slow],
    )
    for family, name in FAMILIES.items()
    for rung in RUNGS
]
NARROW = {"depth": 4, "embed_dim": 128, "num_heads": 2}


@pytest.fixture
def narrow(monkeypatch):
    """Every architecture with four narrow blocks and small heads: its form, at a small cost."""
    monkeypatch.setattr(encoders, "timm_options", lambda: timm_options() | NARROW)
    for size, heads in HEAD_SIZES.items():
        small = replace(HEAD_SIZES["nano"], query_blocks=heads.query_blocks, pmt_blocks=2)
        monkeypatch.setitem(HEAD_SIZES, size, replace(small, query_blocks=2))


def build(rung, name, **options):
    arguments = {"image_size": SIZE, "num_classes": 5, "weights": "random"} | options
    return build_model(rung, pretraining=f"timm:{name}", **arguments)


def encoder_of(name, image_size=SIZE):
    size = timm_vit(f"timm:{name}").size
    return build_encoder(size=size, pretraining=f"timm:{name}", image_size=image_size).eval()


def timms_own(name, image_size=SIZE, **options):
    return timm.create_model(
        name, num_classes=0, img_size=image_size, patch_size=16, **NARROW, **options
    ).eval()


@pytest.mark.parametrize("name", FAMILIES.values(), ids=FAMILIES)
@torch.no_grad()
def test_the_encoder_is_timms(name, narrow):
    encoder = encoder_of(name)
    spread_weights(encoder)
    judge = timms_own(name)  # with its pooling, and sizes as its own configuration has them
    found = judge.load_state_dict(encoder.backbone.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert all(key.startswith("attn_pool.") for key in found.missing_keys)
    config = timm.get_pretrained_cfg(name)
    images = random_images(*SIZE, batch=1)
    own = normalized(images, {"mean": config.mean, "std": config.std})
    expected = judge.fc_norm(judge.forward_features(own))
    torch.testing.assert_close(encoder(images), expected, rtol=1e-4, atol=1e-4)
    # Queries that nobody looks at change nothing, whatever is rotated.
    tokens = encoder.embed(images).with_queries(torch.randn(1, 3, encoder.embed_dim))
    mask = torch.ones(1, 1, *2 * tokens.x.shape[1:2], dtype=torch.bool)
    mask[..., 3:, :3] = False
    for index in range(encoder.depth):
        tokens = encoder.run_block(index, tokens, mask)
    torch.testing.assert_close(encoder.norm(tokens.x)[:, 3:], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "rung"), LEARNING)
def test_every_rung_learns_and_is_counted(name, rung, narrow):
    torch.manual_seed(0)
    model = build(rung, name)
    groups = parameter_groups(model, OptimizerConfig())  # each has its depth
    layers = model(random_images(*SIZE, batch=1))
    assert len(layers) > 1
    masks, classes = layers.mask_logits, layers.class_logits
    (sum(x.square().mean() for x in (*masks, *classes))).backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert sum(len(group["params"]) for group in groups) == len(trained)
    without = [name for name, p in trained.items() if p.grad is None]
    assert not without
    assert all(p.grad.isfinite().all() for p in trained.values())
    assert any(name.startswith("encoder.") for name in trained) != (
        LADDER[rung].freeze == "encoder"
    )
    gmacs = count_gmacs(lambda: build(rung, name, load_weights=False), SIZE)
    assert gmacs > 0.1
    assert count_parameters(model) > 1e6


@torch.no_grad()
def test_folded_it_predicts_the_same_and_attention_is_seen(narrow):
    for name in ("test_vit2.r160_in1k", FAMILIES["norms after"], FAMILIES["DINOv3, S+"]):
        model = build("eomt", name, image_size=(64, 96)).eval()
        spread_weights(model)
        images = random_images(64, 96)
        for ours, folded in zip(model.predict(images), fold(model).predict(images), strict=True):
            torch.testing.assert_close(ours, folded, rtol=1e-3, atol=1e-3)
        maps = query_attention(model, images)
        assert [tuple(m.shape) for m in maps] == 2 * [(2, model.num_queries, 4, 6)]


def test_another_image_size_takes_its_rotary_tables_along(narrow):
    for name in (FAMILIES["rotary, learned, and positions"], FAMILIES["Perception Encoder, core"]):
        model = build("eomt", name, image_size=(64, 64)).eval()
        model.set_image_size((96, 128))
        assert model.predict(random_images(96, 128))[0].shape[-2:] == (24, 32)


@pytest.mark.parametrize(
    "family",
    [
        "SigLIP, SO-400M",
        "CLIP, quick GELU, patch 32",
        "DINO",
        "Perception Encoder, core",
        "AIMv2",
        "registers, averaged",
        "rotary, learned, and positions",
        "FlexiViT",
        "DINOv3, S+",
    ],
)
def test_a_file_is_resampled_as_timm_does_it(family, narrow, tmp_path):
    name = FAMILIES[family]
    torch.manual_seed(1)
    release = timm.create_model(name, **NARROW)  # with its head, pooling, patches and grid
    spread_weights(release)
    path = tmp_path / f"{name}.safetensors"
    save_file(release.state_dict(), path)
    encoder = encoder_of(name, (96, 128))
    size = timm_vit(f"timm:{name}").size
    said = load_pretrained(encoder, size=size, pretraining=f"timm:{name}", weights=tmp_path)
    assert said == path.name
    overlay = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(path)}}
    judge = timms_own(name, (96, 128), **overlay).state_dict()
    for entry, value in encoder.backbone.state_dict().items():
        torch.testing.assert_close(value, judge[entry], rtol=0, atol=0, msg=entry)


def test_weights_come_from_timms_hub(narrow, monkeypatch, tmp_path):
    name, asked = FAMILIES["MAE"], []
    release = timm.create_model(name, **NARROW)
    save_file(release.state_dict(), tmp_path / "model.safetensors")

    def fetch(repository, file_name):
        asked.append((repository, file_name))
        return tmp_path / file_name

    monkeypatch.setattr(encoder_weights, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(encoder_weights, "hf_hub_download", fetch)
    model = build("eomt", name, weights=None)
    assert asked == [(f"timm/{name}", "model.safetensors")]
    torch.testing.assert_close(model.encoder.backbone.cls_token, release.cls_token)


@torch.no_grad()
def test_dinov3s_gated_mlps_are_read_from_hugging_faces_layout(narrow, tmp_path):
    name = FAMILIES["DINOv3, S+"]
    encoder = encoder_of(name)
    theirs = DINOv3ViTModel(
        DINOv3ViTConfig(
            hidden_size=128,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=encoder.backbone.blocks[0].mlp.fc2.in_features,
            use_gated_mlp=True,
            hidden_act="silu",
            num_register_tokens=4,
        )
    ).eval()
    spread_weights(theirs)
    theirs.save_pretrained(tmp_path)
    load_pretrained(encoder, size="small", pretraining=f"timm:{name}", weights=tmp_path)
    images = random_images(*SIZE, batch=1)
    expected = theirs(normalized(images, encoder.backbone.pretrained_cfg)).last_hidden_state
    torch.testing.assert_close(encoder(images), expected, rtol=1e-3, atol=1e-3)


def test_a_file_of_another_model_is_refused(narrow, tmp_path):
    name = FAMILIES["SigLIP 2"]
    save_file(encoder_of(FAMILIES["MAE"]).backbone.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"model\.safetensors: .*no weights of vit_base_patch16_siglip"
    ):
        load_pretrained(encoder_of(name), size="base", pretraining=f"timm:{name}", weights=tmp_path)


def test_a_saved_model_is_built_again_from_its_name(narrow, tmp_path):
    name = FAMILIES["rotary, learned"]
    model = build("pmt", name, image_size=(64, 96)).eval()
    config = ModelConfig(
        rung="pmt",
        size=timm_vit(f"timm:{name}").size,
        pretraining=f"timm:{name}",
        image_size=(64, 96),
        num_queries=model.num_queries,
        masking="annealed",
        class_names=tuple("abcde"),
        is_thing=None,
    )
    save_model(tmp_path / "model", model, config)
    again, _ = load_model(tmp_path / "model")
    images = random_images(64, 96)
    torch.testing.assert_close(again.predict(images), model.predict(images), rtol=0, atol=0)
    with pytest.raises(ConfigurationError, match="weights='random' has no use"):
        load_model(tmp_path / "model", weights="random")


def test_the_name_says_the_size():
    assert timm_vit("timm:vit_base_patch16_siglip_512").name == FAMILIES["SigLIP 2"]  # timm's tag
    assert tuple(PAPER_VITS) == PAPER_SIZES
    sizes = [timm_vit(f"timm:{name}").size for name in FAMILIES.values()]
    assert set(sizes) == {"small", "base", "large", "giant"}
    assert [nearest_size(*vit) for vit in ((192, 12), (1152, 27), (1280, 32), (4096, 40))] == [
        "small",
        "large",
        "giant",
        "giant",
    ]
    so400m = f"timm:{FAMILIES['SigLIP, SO-400M']}"
    with torch.device("meta"):
        adapted = build_model(
            "vit-adapter-m2f", pretraining=so400m, image_size=64, num_classes=5, load_weights=False
        )
        eomt = build_model(
            "eomt", pretraining=so400m, size="large", image_size=64, num_classes=5, weights="random"
        )
    assert [len(blocks) for blocks in adapted.features.block_ranges] == [7, 7, 7, 6]
    assert eomt.masking.num_blocks == HEAD_SIZES["large"].query_blocks
    assert own_choices("pmt", size="large", pretraining=so400m).taps == (5, 12, 19, 26)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("swin_tiny_patch4_window7_224", "no plain ViT .* it is of timm's swin_transformer"),
        ("convnext_tiny.fb_in1k", "of timm's convnext"),
        ("vit_base_r50_s16_224", "of timm's vision_transformer_hybrid"),
        ("samvit_base_patch16", "of timm's vision_transformer_sam"),
        ("beit_base_patch16_224", "of timm's beit"),
        ("levit_128", "of timm's levit"),
        ("naflexvit_base_patch16_gap", "of timm's naflexvit"),
        ("deit_tiny_distilled_patch16_224", "timm builds a VisionTransformerDistilled"),
        ("vit_base_patch16_xp_224", "its blocks are timm's ParallelScalingBlock"),
        ("vit_dwee_patch16_reg1_gap_256", "its attention is timm's DiffAttention"),
        ("vit_base_patch16_siglip_521", "timm knows no .*Did you mean 'timm:vit_base_patch16_sig"),
        ("vit_base_patch16_siglip_512.v3_webli", "no weights 'v3_webli' .* v2_webli, webli"),
        ("", "timm knows no ''"),
    ],
)
def test_what_is_no_plain_vit_is_refused_with_the_reason(name, message):
    with pytest.raises(ConfigurationError, match=rf"^pretraining='timm:{name}'.*{message}"):
        build("eomt", name)


def test_errors_name_parameter_and_fix(narrow):
    name = FAMILIES["SigLIP 2"]
    with pytest.raises(ConfigurationError, match=r"size='large'.*nearest to 'base'. Leave size"):
        build("eomt", name, size="large")
    with pytest.raises(ConfigurationError, match="size is not given, and pretraining='dinov2'"):
        build_model("eomt", pretraining="dinov2", image_size=64, num_classes=5)
    with pytest.raises(ConfigurationError, match=r"no weights of it on its hub.*'random'"):
        build("eomt", "vit_small_patch16_36x1_224", weights=None)


@pytest.mark.slow
def test_at_its_real_size():
    model = build("eomt", FAMILIES["SigLIP 2"])
    assert (model.encoder.embed_dim, model.encoder.depth) == (768, 12)
    model(random_images(*SIZE, batch=1)).final[0].mean().backward()
    assert model.encoder.backbone.pos_embed.grad.isfinite().all()
