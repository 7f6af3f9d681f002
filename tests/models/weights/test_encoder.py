"""Pretrained weights from the hub and from files, against what timm makes of the same files."""

import http.server
import os
import re
import subprocess
import sys
import threading

import pytest
import timm
import torch
from safetensors.torch import save_file
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from eomtlib.core.errors import CheckpointError, ConfigurationError
from eomtlib.models.encoder_names import TIMM_NAMES
from eomtlib.models.encoders import build_encoder
from eomtlib.models.weights.encoder import load_pretrained, resolve_pretraining

SIZE = (64, 96)


def encoder_of(pretraining, image_size=SIZE):
    torch.manual_seed(0)
    return build_encoder(size="small", pretraining=pretraining, image_size=image_size).eval()


def release(pretraining, **options):
    """A model as timm publishes it, at its own patch size and grid, with other weights."""
    torch.manual_seed(1)
    model = timm.create_model(TIMM_NAMES[pretraining]["small"], pretrained=False, **options)
    return {
        name: torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name)))
        for name, value in model.state_dict().items()
    }


def as_timm_loads(pretraining, path, image_size=SIZE):
    """timm's own way from a file to a model of another patch size and grid."""
    model = timm.create_model(
        TIMM_NAMES[pretraining]["small"],
        pretrained=True,
        pretrained_cfg_overlay={"file": str(path)},
        img_size=image_size,
        patch_size=16,
        num_classes=0,
    )
    return model.state_dict()


def load(pretraining, path, image_size=SIZE):
    encoder = encoder_of(pretraining, image_size)
    load_pretrained(encoder, size="small", pretraining=pretraining, weights=path)
    return encoder


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize(
    ("pretraining", "suffix"), [*((name, "safetensors") for name in TIMM_NAMES), ("dinov2", "bin")]
)
def test_a_file_is_resampled_as_timm_does_it(pretraining, suffix, tmp_path):
    state = release(pretraining, num_classes=0)
    path = tmp_path / f"{TIMM_NAMES[pretraining]['small']}.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    encoder = load(pretraining, tmp_path)
    assert_same(encoder.backbone.state_dict(), as_timm_loads(pretraining, path))
    assert encoder.backbone.patch_embed.proj.weight.shape[-1] == 16


@pytest.mark.parametrize(
    ("pretraining", "image_size"), [("deit3-in21k", (288, 512)), ("eva02", (128, 512))]
)
def test_a_grid_of_as_many_cells_is_resampled_too(pretraining, image_size, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(release(pretraining, num_classes=0), path)
    encoder = load(pretraining, path, image_size)
    assert_same(encoder.backbone.state_dict(), as_timm_loads(pretraining, path, image_size))


def test_dinov2s_own_layout(tmp_path):
    """As facebook publishes it: registers apart, a position for the class token, a mask token."""
    state = release("dinov2", num_classes=0)
    own = dict(state)
    own["register_tokens"] = own.pop("reg_token")
    own["mask_token"] = torch.zeros(1, 384)
    own["pos_embed"] = torch.cat((torch.ones(1, 1, 384), own["pos_embed"]), 1)
    path = tmp_path / "dinov2_vits14_reg4_pretrain.pth"
    torch.save(own, path)
    encoder = load("dinov2", path)
    assert_same(encoder.backbone.state_dict(), as_timm_loads("dinov2", path))
    torch.testing.assert_close(encoder.backbone.cls_token, state["cls_token"] + 1)
    torch.testing.assert_close(encoder.backbone.reg_token.data, state["reg_token"])


def test_dinov3s_own_layouts_agree(tmp_path):
    """As Meta publishes it, and as facebook does on Hugging Face."""
    state = release("dinov3", num_classes=0)
    meta = {"mask_token": torch.zeros(1, 384), "rope_embed.periods": torch.zeros(16)}
    hub = {"embeddings.mask_token": torch.zeros(1, 1, 384)}
    for name, value in state.items():
        if name.endswith("v_bias"):
            continue
        if name.endswith("q_bias"):
            v_bias = state[name.replace("q_bias", "v_bias")]
            parts = torch.cat((value, torch.zeros(384), v_bias))
            meta[name.replace("q_bias", "qkv.bias")] = parts
            meta[name.replace("q_bias", "qkv.bias_mask")] = torch.ones(3 * 384)
        else:
            renamed = re.sub(r"gamma_([12])", r"ls\1.gamma", name)
            meta[renamed.replace("reg_token", "storage_tokens")] = value
    with torch.device("meta"):
        theirs = DINOv3ViTModel(
            DINOv3ViTConfig(
                hidden_size=384,
                num_hidden_layers=12,
                num_attention_heads=6,
                intermediate_size=1536,
                num_register_tokens=4,
            )
        ).state_dict()
    for key in theirs:
        hub[key.removeprefix("model.")] = _from_timm(key.removeprefix("model."), state)
    torch.save(meta, tmp_path / "dinov3_vits16_pretrain.pth")
    save_file({k: v.contiguous() for k, v in hub.items()}, tmp_path / "model.safetensors")
    for path in (tmp_path / "dinov3_vits16_pretrain.pth", tmp_path / "model.safetensors"):
        encoder = load("dinov3", path)
        assert_same(encoder.backbone.state_dict(), state)


def _from_timm(key, state):
    """An entry of Hugging Face's DINOv3, by the table of the reference."""
    if key in ("embeddings.mask_token",):
        return torch.zeros(1, 1, 384)
    if found := re.fullmatch(r"layer\.(\d+)\.attention\.([qkv])_proj\.(weight|bias)", key):
        block, part, kind = found.groups()
        if kind == "bias":
            return state[f"blocks.{block}.attn.{part}_bias"]
        return state[f"blocks.{block}.attn.qkv.weight"].chunk(3)["qkv".index(part)]
    for theirs, ours in {
        "embeddings.cls_token": "cls_token",
        "embeddings.register_tokens": "reg_token",
        "embeddings.patch_embeddings": "patch_embed.proj",
        "layer.": "blocks.",
        "attention.o_proj": "attn.proj",
        "mlp.up_proj": "mlp.fc1",
        "mlp.down_proj": "mlp.fc2",
        "layer_scale1.lambda1": "gamma_1",
        "layer_scale2.lambda1": "gamma_2",
    }.items():
        key = key.replace(theirs, ours)
    return state[key]


@pytest.mark.parametrize("called", ["fc_norm", "norm"])
def test_eva02s_final_norm_is_found_under_both_names(called, tmp_path):
    state = release("eva02", num_classes=0)
    for kind in ("weight", "bias"):
        state[f"{called}.{kind}"] = state.pop(f"fc_norm.{kind}")
    save_file(state, tmp_path / "model.safetensors")
    encoder = load("eva02", tmp_path)
    torch.testing.assert_close(encoder.backbone.fc_norm.weight.data, state[f"{called}.weight"])
    with torch.no_grad():
        x = torch.randn(1, 3, 384)
        expected = torch.nn.functional.layer_norm(
            x, (384,), state[f"{called}.weight"], state[f"{called}.bias"], eps=1e-6
        )
        torch.testing.assert_close(encoder.norm(x), expected)


@pytest.mark.parametrize("pretraining", TIMM_NAMES)
def test_mean_and_std_are_the_models_own(pretraining):
    config = timm.get_pretrained_cfg(TIMM_NAMES[pretraining]["small"])
    encoder = encoder_of(pretraining)
    torch.testing.assert_close(encoder.mean.flatten() / 255, torch.tensor(config.mean))
    torch.testing.assert_close(encoder.std.flatten() / 255, torch.tensor(config.std))


def test_a_file_that_does_not_fit_leaves_the_encoder_as_it_was(tmp_path):
    state = release("dinov2", num_classes=0)
    path = tmp_path / "weights.safetensors"
    encoder = encoder_of("dinov2")
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    for change, message in (
        ({"blocks.3.mlp.fc1.weight": torch.zeros(5, 384)}, r"blocks\.3\.mlp\.fc1\.weight is 5×384"),
        ({"blocks.9.norm2.bias": torch.full((384,), torch.inf)}, r"blocks\.9\.norm2\.bias holds"),
        ({"norm.weight": torch.ones(384, dtype=torch.int8)}, r"norm\.weight is 384 int8 where"),
        ({"norm.bias": torch.ones(384, dtype=torch.complex64)}, r"norm\.bias is 384 complex64"),
        ({"neck.weight": torch.zeros(1)}, r"does not know: neck\.weight"),
    ):
        save_file(state | change, path)
        with pytest.raises(CheckpointError, match=r"weights\.safetensors: .*" + message):
            load_pretrained(encoder, size="small", pretraining="dinov2", weights=path)
    assert_same(encoder.state_dict(), before)


@pytest.mark.parametrize("part", ["q", "k", "v"])
def test_parts_that_do_not_fit_together_are_found_before_anything_is_copied(part, tmp_path):
    hub = {
        f"layer.{block}.{name}": value
        for block in range(12)
        for name, value in {
            "layer_scale1.lambda1": torch.ones(384),
            "attention.q_proj.weight": torch.ones(384, 384),
            "attention.k_proj.weight": torch.ones(384, 384),
            "attention.v_proj.weight": torch.ones(384, 384),
        }.items()
    }
    hub["embeddings.register_tokens"] = torch.ones(1, 4, 384)
    hub[f"layer.6.attention.{part}_proj.weight"] = torch.ones(384, 5)
    path = tmp_path / "weights.bin"
    torch.save(hub, path)
    encoder = encoder_of("dinov3")
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=rf"layer\.6\.attention\.{part}_proj\.weight is 384×5"
    ):
        load_pretrained(encoder, size="small", pretraining="dinov3", weights=path)
    assert_same(encoder.state_dict(), before)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({3: torch.zeros(2)}, "the entry 3 is"),
        ({"blocks": torch.zeros(2, 2).to_sparse()}, "sparse tensor"),
        ({"patch_embed.proj.weight": torch.zeros(1, 2, 3, 4, 5)}, "no weights of"),
        ({"pos_embed": torch.zeros(3)}, "no weights of|lacks entries"),
    ],
)
def test_strange_files_are_named(state, message, tmp_path):
    path = tmp_path / "weights.bin"
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=rf"weights\.bin: .*({message})"):
        load("dinov2", path)


def test_a_pickle_that_carries_code_is_refused(tmp_path):
    path = tmp_path / "weights.bin"
    torch.save({"blocks": print}, path)
    with pytest.raises(CheckpointError, match=r"weights\.bin.*can carry code"):
        load("dinov2", path)


def test_a_folder_without_a_known_file(tmp_path):
    with pytest.raises(ConfigurationError, match=r"weights=.*lvd142m\.safetensors"):
        load("dinov2", tmp_path)


def test_auto_is_what_comes_with_the_package_and_dinov2_where_a_file_is_given(tmp_path):
    assert resolve_pretraining("auto", size="nano") == "shapes-ssl"
    assert resolve_pretraining("auto", size="nano", weights="random") == "none"
    assert resolve_pretraining("auto", size="micro") == "shapes-ssl"
    assert resolve_pretraining("auto", size="nano", weights=tmp_path) == "mim"
    assert resolve_pretraining("auto", size="small", weights=tmp_path) == "dinov2"


DOWNLOAD = """
from eomtlib.models.weights.encoder import load_pretrained
from eomtlib.models.encoders import build_encoder
encoder = build_encoder(size="small", pretraining="{pretraining}", image_size=(64, 96))
load_pretrained(encoder, size="small", pretraining="{pretraining}")
print("loaded", encoder.backbone.cls_token.sum().item())
"""


def run_apart(pretraining, **environment):
    return subprocess.run(
        [sys.executable, "-c", DOWNLOAD.format(pretraining=pretraining)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of a hub as one file needs."""

    content = b""
    asked: list[str]

    def do_HEAD(self):
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.send_header("ETag", '"0123456789abcdef"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(self.content)

    def log_message(self, *_):
        pass


def test_weights_come_from_the_hub_once_and_then_from_its_cache(tmp_path):
    state = release("dinov2", num_classes=0)
    save_file(state, tmp_path / "model.safetensors")
    handler = type("Served", (Hub,), {})
    handler.content = (tmp_path / "model.safetensors").read_bytes()
    handler.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
    }
    first = run_apart("dinov2", **environment)
    assert first.returncode == 0, first.stderr
    assert f"loaded {state['cls_token'].sum().item()}"[:12] in first.stdout
    name = TIMM_NAMES["dinov2"]["small"]
    assert any(f"/timm/{name}/resolve/main/model.safetensors" in path for path in handler.asked)
    server.shutdown()
    again = run_apart("dinov2", **environment)
    assert again.stdout == first.stdout


@pytest.mark.parametrize("pretraining", ["dinov2", "dinov3"])
def test_without_network_and_file_the_error_says_what_to_fetch(pretraining, tmp_path):
    out = run_apart(pretraining, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert out.returncode == 1
    said = out.stderr.splitlines()[-1]
    name = TIMM_NAMES[pretraining]["small"]
    assert f"fetch model.safetensors of https://huggingface.co/timm/{name}" in said
    assert f"set weights to that file (or to a folder that holds it as {name}.safetensors)" in said
    assert ("licence must be accepted" in said) == (pretraining == "dinov3")
