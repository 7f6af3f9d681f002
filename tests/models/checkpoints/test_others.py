"""The authors' and Hugging Face's checkpoints, in their layouts and at their shapes."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    EomtConfig,
    EomtDinov3Config,
    EomtDinov3ForUniversalSegmentation,
    EomtForUniversalSegmentation,
)
from transformers.models.eomt.modeling_eomt import EomtSwiGLUFFN

from eomtlib.core.errors import CheckpointError, ConfigurationError
from eomtlib.core.structures import ClassInfo
from eomtlib.models.checkpoints import describe, identify, load_model, save_model
from eomtlib.models.encoders import build_encoder
from eomtlib.models.weights.layouts import HF_EOMT_GATE_APART, HF_EOMT_GATED
from eomtlib.report.fidelity.released import write_released
from tests.models.checkpoints.layouts import COCO, dinov3_encoder, expanded, released_shapes

ADE_SEMANTIC = {"num_queries": 100, "num_classes": 150}


def slow(*parameters):
    return pytest.param(*parameters, marks=pytest.mark.slow)


def load_on_meta(path, **options):
    """Every entry finds its place, without a model's memory."""
    with torch.device("meta"):
        model, config = load_model(path, **options)
    assert all(value.device.type == "meta" for value in model.state_dict().values())
    return config


@pytest.mark.parametrize(
    ("fixture", "size", "classes", "query_blocks", "side"),
    [
        ("eomt-dinov2", "large", COCO, 4, 640),
        slow("eomt-dinov2", "large", COCO, 4, 1280),
        slow("eomt-dinov2", "large", ADE_SEMANTIC, 4, 512),
        ("eomt-dinov3", "small", COCO, 3, 640),
        slow("eomt-dinov3", "base", COCO, 3, 640),
        slow("eomt-dinov3", "large", ADE_SEMANTIC, 4, 512),
        ("pmt-dinov3", "small", COCO, 6, 640),
        slow("pmt-dinov3", "large", COCO, 6, 1280),
    ],
)
def test_the_authors_files_are_recognised_at_their_shapes(
    fixture, size, classes, query_blocks, side, tmp_path
):
    shapes = released_shapes(
        fixture, size=size, query_blocks=query_blocks, positions=(side // 16) ** 2, **classes
    )
    is_pmt, is_dinov3 = fixture.startswith("pmt"), fixture.endswith("dinov3")
    if is_pmt:
        shapes = {k: v for k, v in shapes.items() if not k.startswith("encoder.backbone.")}
    path = tmp_path / "pytorch_model.bin"
    entries = {f"network.{key}": expanded(shape) for key, shape in shapes.items()}
    # As training leaves it: no mask applies any more.
    entries["network.decoder.attn_mask_probs" if is_pmt else "network.attn_mask_probs"] = (
        torch.zeros(query_blocks)
    )
    torch.save(entries | {"criterion.empty_weight": torch.ones(134)}, path)
    weights = dinov3_encoder(size, tmp_path / "dinov3.bin") if is_dinov3 else None
    options = {"image_size": (side, side)} if is_dinov3 else {}
    options |= {"pretraining": "dinov3"} if is_pmt else {}
    config = load_on_meta(tmp_path, weights=weights, **options)
    assert config.rung == ("pmt" if is_pmt else "eomt")
    assert (config.size, config.pretraining) == (size, fixture.partition("-")[2])
    assert config.image_size == (side, side)
    assert config.num_queries == classes["num_queries"]
    assert len(config.class_names) == classes["num_classes"]
    assert config.query_blocks == query_blocks
    found = identify(path, pretraining=config.pretraining)
    assert found.tells_size != is_dinov3
    assert found.encoder == ("absent" if is_pmt else "difference" if is_dinov3 else "whole")


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("eomt", {"num_labels": 133}),
        slow("eomt", {"num_labels": 133, "image_size": 1280}),
        slow("eomt", {"num_labels": 150, "num_queries": 100, "image_size": 512}),
        slow(
            "eomt",
            {
                "num_labels": 133,
                "hidden_size": 1536,
                "num_hidden_layers": 40,
                "num_attention_heads": 24,
                "num_blocks": 5,
                "use_swiglu_ffn": True,
            },
        ),
        slow("eomt_dinov3", {"num_labels": 133, "layer_norm_eps": 1e-5}),
        (
            "eomt_dinov3",
            {
                "num_labels": 133,
                "layer_norm_eps": 1e-5,
                "hidden_size": 384,
                "num_hidden_layers": 12,
                "num_attention_heads": 6,
                "intermediate_size": 1536,
                "num_blocks": 3,
            },
        ),
    ],
)
def test_hugging_faces_folders_are_recognised_at_their_shapes(kind, shape, tmp_path):
    family = (
        (EomtConfig, EomtForUniversalSegmentation)
        if kind == "eomt"
        else (EomtDinov3Config, EomtDinov3ForUniversalSegmentation)
    )
    theirs = family[0](**shape)
    with torch.device("meta"):
        model = family[1](theirs)
    theirs.save_pretrained(tmp_path)
    entries = {key: expanded(value.shape) for key, value in model.state_dict().items()}
    entries["attn_mask_probs"] = torch.zeros(theirs.num_blocks)
    torch.save(entries, tmp_path / "pytorch_model.bin")
    config = load_on_meta(tmp_path)
    sizes = {384: "small", 1024: "large", 1536: "giant"}
    assert (config.rung, config.size) == ("eomt", sizes[theirs.hidden_size])
    assert config.pretraining == ("dinov2" if kind == "eomt" else "dinov3")
    assert config.image_size == (theirs.image_size, theirs.image_size)
    assert (config.num_queries, config.query_blocks) == (theirs.num_queries, theirs.num_blocks)
    assert len(config.class_names) == shape["num_labels"]


@torch.no_grad()
def test_gated_mlps_equal_transformers():
    """The order of gate and value, which shapes do not show."""
    torch.manual_seed(0)
    config = EomtConfig(hidden_size=1536, use_swiglu_ffn=True)
    theirs = EomtSwiGLUFFN(config)
    with torch.device("meta"):
        encoder = build_encoder(size="giant", pretraining="dinov2", image_size=(64, 64))
    ours = encoder.backbone.blocks[0].mlp.to_empty(device="cpu").eval()
    entries = {f"layers.0.mlp.{key}": value for key, value in theirs.state_dict().items()}
    for key, value in ours.state_dict().items():
        parts = HF_EOMT_GATE_APART.names(f"encoder.backbone.blocks.0.mlp.{key}")
        value.copy_(torch.cat([entries[part] for part in parts]))
    older = HF_EOMT_GATED.names("encoder.backbone.blocks.3.mlp.fc1.bias")
    assert older == ("layers.3.mlp.weights_in.bias",)
    x = torch.randn(2, 5, 1536)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


def test_class_names_masks_and_shards_of_a_hugging_face_folder(tmp_path):
    names = {0: "cat", 1: "grass", 2: "sky"}
    small = EomtConfig(
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        num_blocks=3,
        num_queries=5,
        image_size=96,
        id2label=names,
    )
    model = EomtForUniversalSegmentation(small)
    model.save_pretrained(tmp_path, max_shard_size="20MB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    ours, config = load_model(tmp_path)
    # transformers starts with masks that apply.
    assert (config.rung, config.masking) == ("eomt-masked", "masked")
    assert config.class_names == ("cat", "grass", "sky")
    assert config.image_size == (96, 96)
    torch.testing.assert_close(ours.queries, model.query.weight)
    index = tmp_path / "model.safetensors.index.json"
    fields = json.loads(index.read_text())
    fields["weight_map"] = dict.fromkeys(fields["weight_map"], "../elsewhere.safetensors")
    index.write_text(json.dumps(fields))
    with pytest.raises(CheckpointError, match=r"index.json: names '../elsewhere.*no weights file"):
        load_model(tmp_path)


@pytest.fixture
def released(tmp_path):
    return write_released("eomt-dinov2", tmp_path).checkpoint


def test_what_was_released_can_be_saved_as_ours(released, tmp_path):
    model, config = load_model(released)
    save_model(tmp_path / "ours", model, config)
    again, same = load_model(tmp_path / "ours")
    assert same == config
    images = torch.randint(0, 256, (1, 3, 96, 96), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(again.predict(images), model.predict(images), rtol=0, atol=0)


def test_a_new_class_head_keeps_all_else(released):
    classes = [ClassInfo(f"thing {i}", True, i) for i in range(3)]
    with pytest.raises(CheckpointError, match=r"7 classes.*these 3.*new_class_head=True"):
        load_model(released, classes=classes)
    model, config = load_model(released, classes=classes, new_class_head=True)
    before, _ = load_model(released)
    assert config.class_names[0] == "thing 0"
    for name, value in before.state_dict().items():
        if "class_head" not in name:
            assert torch.equal(model.state_dict()[name], value)
    assert model.mask_module.class_head.weight.shape == (4, 384)
    with pytest.raises(ConfigurationError, match="has no use"):
        load_model(released, weights="somewhere")


def test_another_image_size_resamples_what_was_trained(released):
    # As many cells as the 6 × 6 of training, in another order.
    model, config = load_model(released, image_size=(64, 144))
    assert config.image_size == (64, 144)
    expected, _ = load_model(released)
    expected.set_image_size((64, 144))
    torch.testing.assert_close(
        model.encoder.backbone.pos_embed, expected.encoder.backbone.pos_embed
    )
    # Trained on another shape, the same entries mean another grid.
    assert identify(released, trained_size=(64, 144)).config.image_size == (64, 144)
    with pytest.raises(
        CheckpointError, match=r"36 positions, not those of trained_size=\(64, 64\)"
    ):
        load_model(released, trained_size=(64, 64))


def test_what_a_file_does_not_tell_is_assumed_aloud(tmp_path):
    files = write_released("pmt-dinov3", tmp_path)
    with pytest.warns(UserWarning, match=r"decoder alone.*DINOv3 is assumed"):
        assert identify(files.checkpoint).config.pretraining == "dinov3"
    with pytest.warns(UserWarning, match=r"does not tell its image size.*640"):
        load_model(files.checkpoint, weights=files.encoder, pretraining="dinov3")
    said = describe(files.checkpoint, pretraining="dinov3")
    assert "640×640 (assumed: the file does not tell)" in said


def test_names_that_are_not_known_agree_with_any(released, tmp_path):
    model, config = load_model(released)
    save_model(tmp_path / "ours", model, config)
    classes = [ClassInfo(f"thing {i}", True, i) for i in range(7)]
    _, named = load_model(tmp_path / "ours", classes=classes)
    assert named.class_names == tuple(info.name for info in classes)


def _set(name, value):
    return lambda state: state.update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("network.mask_head.2.bias"), r"lacks entries: mask_head\.2\.bias"),
        (lambda s: s.pop("network.q.weight"), r"no file of the authors'.*q\.weight"),
        (_set("network.neck.weight", torch.zeros(1)), r"does not know: neck\.weight"),
        (
            _set("network.encoder.backbone.blocks.7.mlp.fc1.weight", torch.zeros(5, 384)),
            r"encoder\.backbone\.blocks\.7\.mlp\.fc1\.weight is 5×384 float32 where .* 1536×384",
        ),
        (
            _set("network.upscale.1.norm.bias", torch.full((384,), float("nan"))),
            r"upscale\.1\.norm\.bias holds values that are not finite",
        ),
        (_set("network.q.weight", torch.zeros(12, 500)), r"queries are 500 wide; known are 384"),
        (_set("epoch", 3), r"'epoch' is a int, not a dense tensor"),
        (_set("network.q.weight", torch.tensor(1.0)), r"q\.weight has the shape \(\)"),
    ],
)
def test_entries_that_do_not_fit_are_named(released, change, message):
    state = torch.load(released)
    change(state)
    torch.save(state, released)
    with pytest.raises(CheckpointError, match=message):
        load_model(released)


def test_damaged_files_and_files_with_code(released, tmp_path):
    whole = released.read_bytes()
    released.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: (cannot be read|refused)"):
        load_model(released)
    torch.save({"network.q.weight": print}, released)
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: refused.*can carry code"):
        load_model(released)
    with pytest.raises(CheckpointError, match="does not exist"):
        load_model(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty: .*config\.json is missing"):
        load_model(tmp_path / "empty")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_act": "silu"}, r"config\.json: hidden_act is 'silu'.*'gelu'"),
        ({"num_queries": 50}, r"config\.json: num_queries is 50, but .* have 5"),
        (
            {"image_size": [640]},
            r"config\.json: image_size is \[640\], but must be one or two whole",
        ),
        ({"num_blocks": "4"}, r"config\.json: num_blocks is '4', but must be a whole number"),
        ({"id2label": 3}, r"config\.json: id2label is no object"),
        ({"model_type": ["eomt"]}, r"model_type \['eomt'\]"),
        ({"model_type": "mask2former"}, r"model_type 'mask2former'"),
    ],
)
def test_a_hugging_face_configuration_that_does_not_fit(fields, message, tmp_path):
    entries = {"query.weight": torch.zeros(5, 384), "class_predictor.weight": torch.zeros(4, 384)}
    save_file(entries, tmp_path / "model.safetensors")
    config = {"model_type": "eomt", "hidden_size": 384, "num_hidden_layers": 0} | fields
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path)


def test_weights_without_their_configuration(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"layers.0.norm1.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"layers\.0\.norm1\.weight.*config\.json"):
        load_model(path)
    assert load_file(path)
