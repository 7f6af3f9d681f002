"""Recognising a checkpoint, and reading which finished model it holds.

Nothing is built here, and nothing in a file is executed.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eomtlib.core.errors import CheckpointError
from eomtlib.core.escaping import for_markdown
from eomtlib.core.words import PAPER_SIZES
from eomtlib.models.checkpoints.fields import Fields
from eomtlib.models.checkpoints.own import (
    CONFIG,
    FORMAT,
    MODEL,
    STATES,
    UNFINISHED,
    WEIGHTS,
    ModelConfig,
    read_config,
    unnamed_classes,
)
from eomtlib.models.encoders import PATCH_SIZE
from eomtlib.models.weights import layouts
from eomtlib.models.weights.layouts import Layout
from eomtlib.models.weights.weight_files import (
    SHARD_INDEX,
    StateDict,
    open_state_dict,
    without_leading_ones,
)

_RELEASED = "pytorch_model.bin"
_DEFAULT_IMAGE_SIZE = 640
_SIZES = dict(zip((384, 768, 1024, 1536), PAPER_SIZES, strict=True))

# Hugging Face leaves out of a configuration what is at its default; values are (default, needed).
_HF_COMMON: dict[str, tuple[object, object]] = {
    "patch_size": (16, 16),
    "num_channels": (3, 3),
    "hidden_act": ("gelu", "gelu"),
}
_HF_FIXED = {
    "eomt": _HF_COMMON | {"layer_norm_eps": (1e-6, 1e-6), "mlp_ratio": (4, 4)},
    "eomt_dinov3": _HF_COMMON
    | {
        "layer_norm_eps": (1e-6, 1e-5),
        "query_bias": (True, True),
        "key_bias": (False, False),
        "value_bias": (True, True),
        "use_gated_mlp": (False, False),
        "rope_theta": (100.0, 100.0),
    },
}


@dataclass(frozen=True)
class Checkpoint:
    """What the file or folder of a finished model turned out to be.

    Attributes:
        path: of the file that holds the entries, or of the index of its parts.
        layout: how the entries are called.
        config: the model that they are of.
        encoder: ``whole``, ``difference`` (to the pretrained encoder's) or ``absent``.
        tells_size: whether the image size was read, not assumed.
    """

    path: Path
    layout: Layout
    config: ModelConfig
    encoder: str = "whole"
    tells_size: bool = True


def open_entries(path: Path) -> StateDict:
    """A file's entries, without the prefix that the authors' training program puts in front."""
    return {name.removeprefix("network."): value for name, value in open_state_dict(path).items()}


def identify(
    path: str | Path, *, trained_size: tuple[int, int] | None = None, pretraining: str | None = None
) -> Checkpoint:
    """Says which of the known kinds a checkpoint is, and what model it holds.

    Args:
        path: a folder of ours or of Hugging Face's, or the authors' ``pytorch_model.bin`` (or the
            folder that holds it). Of a run's folder it is the finished model, or else the last
            state of its training; a state may be named as well.
        trained_size: height and width of the images in training, for files that do not tell (DINOv3
            and PMT: 640 when None) or whose positions make no square.
        pretraining: of the encoder, for files that do not tell: PMT's decoder alone (``dinov3``
            when None), and encoders that share an architecture.

    Raises:
        CheckpointError: when it is of no known kind, or a part is missing or damaged.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise CheckpointError(f"{path}: does not exist. Give a checkpoint's file or folder.")
    if path.name in STATES and (path.parent / UNFINISHED).is_file():
        return _unfinished(path)
    if path.is_file():
        return _authors(path, trained_size=trained_size, pretraining=pretraining)
    if (path / MODEL / CONFIG).is_file():
        path = path / MODEL
    elif (path / UNFINISHED).is_file():
        return _unfinished(
            _existing(path, next(filter(lambda n: (path / n).is_file(), STATES), STATES[0]))
        )
    fields = Fields(path / CONFIG) if (path / CONFIG).is_file() else None
    if fields and fields.raw("format") == FORMAT:
        return Checkpoint(_existing(path, WEIGHTS), layouts.OWN_NAMES, read_config(fields))
    if fields and str(fields.raw("model_type")) in _HF_FIXED:
        return _hugging_face(path, fields)
    if (path / _RELEASED).is_file():
        return _authors(path / _RELEASED, trained_size=trained_size, pretraining=pretraining)
    if not fields:
        raise CheckpointError(
            f"{path}: no saved model there: {CONFIG} is missing. Give the folder that holds "
            f"{CONFIG} and {WEIGHTS}, or the authors' {_RELEASED}."
        )
    raise CheckpointError(
        f"{path / CONFIG}: is no configuration of a known model: its format is "
        f"{fields.raw('format')!r} and its model_type {fields.raw('model_type')!r}, where ours has "
        f"the format {FORMAT!r} and Hugging Face's the model_type {' or '.join(_HF_FIXED)}."
    )


def _unfinished(state: Path) -> Checkpoint:
    """What a training has come to by its last state."""
    fields = Fields(state.parent / UNFINISHED)
    averaged = fields.read("averaged", "bool", default=False)
    layout = layouts.AVERAGED_STATE if averaged else layouts.TRAINING_STATE
    return Checkpoint(state, layout, read_config(fields))


def describe(path: str | Path, **options: Any) -> str:
    """What a checkpoint is, in a sentence of Markdown; arguments as for ``identify``."""
    found = identify(path, **options)
    config = found.config
    height, width = config.image_size
    names = for_markdown(", ".join(config.class_names[:3]))
    names += ", …" if len(config.class_names) > 3 else ""
    blocks = f", {config.query_blocks} query blocks" if config.query_blocks else ""
    assumed = "" if found.tells_size else " (assumed: the file does not tell)"
    return (
        f"{for_markdown(found.path.name)} is **{found.layout.title}** "
        f"(encoder: {found.encoder}): rung `{config.rung}`, size `{config.size}`, "
        f"pretraining `{config.pretraining}`, "
        f"{height}×{width}{assumed}, {config.num_queries} queries, "
        f"{len(config.class_names)} classes ({names}){blocks}."
    )


def _authors(
    path: Path, *, trained_size: tuple[int, int] | None, pretraining: str | None
) -> Checkpoint:
    state = open_entries(path)
    is_pmt = "decoder.q.weight" in state
    at = "decoder." if is_pmt else ""
    if f"{at}q.weight" not in state or f"{at}class_head.weight" not in state:
        known = "; the first of its entries: " + ", ".join(list(state)[:3]) if state else ""
        raise CheckpointError(
            f"{path}: is no file of the authors' EoMT or PMT: it lacks entries: {at}q.weight or "
            f"{at}class_head.weight{known}. For a model of ours or of Hugging Face's give the "
            f"folder that holds it and its {CONFIG}."
        )
    has_encoder = any(name.startswith("encoder.backbone.") for name in state)
    is_dinov3 = "encoder.backbone.patch_embed.patch_embeddings.weight" in state
    if pretraining is None:
        pretraining = "dinov3" if is_dinov3 or not has_encoder else _timm_pretraining(state)
        if not has_encoder:
            warnings.warn(
                f"{path}: holds a decoder alone, which does not tell its encoder: DINOv3 is "
                "assumed. Set pretraining to say so, or to name another.",
                stacklevel=4,
            )
    if is_pmt:
        layout = layouts.AUTHORS_PMT_DINOV3 if is_dinov3 else layouts.AUTHORS_PMT
        encoder = "whole" if has_encoder else "absent"
        blocks = _count(state, r"decoder\.blocks\.(\d+)\.norm1\.weight")
    else:
        layout = layouts.AUTHORS_EOMT_DINOV3 if is_dinov3 else layouts.AUTHORS_EOMT
        encoder = "difference" if is_dinov3 else "whole"
        blocks = state["attn_mask_probs"].numel() if "attn_mask_probs" in state else None
    positions = "encoder.backbone.pos_embed"
    tells_size = positions in state
    image_size = trained_size or (_DEFAULT_IMAGE_SIZE, _DEFAULT_IMAGE_SIZE)
    if tells_size:
        # EVA-02 has a position for its class token as well.
        count = _matrix(state, positions, path)[0] - (pretraining == "eva02")
        image_size = _image_size(count, trained_size, path)
    config = ModelConfig(
        **_heads(state, path, queries=f"{at}q.weight", classes=f"{at}class_head.weight", at=at),
        pretraining=pretraining,
        image_size=image_size,
        query_blocks=blocks,
    )
    return Checkpoint(path, layout, config, encoder, tells_size or trained_size is not None)


def _hugging_face(folder: Path, fields: Fields) -> Checkpoint:
    model_type, where = fields.raw("model_type"), fields.path
    rope = fields.raw("rope_parameters", {})
    for name, (default, needed) in _HF_FIXED[model_type].items():
        given = fields.raw(name, rope.get(name, default) if isinstance(rope, dict) else default)
        if given not in (needed, [needed, needed]):
            raise CheckpointError(
                f"{where}: {name} is {given!r}; models of this library have {needed!r}."
            )
    files = [folder / name for name in (WEIGHTS, WEIGHTS + SHARD_INDEX, _RELEASED)]
    path = next((file for file in files if file.is_file()), None) or _existing(folder, WEIGHTS)
    state = open_entries(path)
    queries, classes = "query.weight", "class_predictor.weight"
    for name in (queries, classes):
        if name not in state:
            raise CheckpointError(f"{path}: lacks entries: {name}. Is it Hugging Face's EoMT?")
    labels = fields.raw("id2label", {})
    if not isinstance(labels, dict):
        raise CheckpointError(f"{where}: id2label is no object of names.")
    heads = _heads(state, path, queries=queries, classes=classes)
    num_classes = len(heads["class_names"])
    found = {
        "hidden_size": _matrix(state, queries, path)[1],
        "num_queries": heads["num_queries"],
        "num_hidden_layers": _count(state, r"layers\.(\d+)\.norm1\.weight"),
        "num_labels": num_classes,
    }
    for name, value in found.items():
        stated = len(labels) if name == "num_labels" and labels else fields.raw(name, value)
        if stated != value:
            raise CheckpointError(
                f"{where}: {name} is {stated!r}, but the entries of {path.name} have {value}."
            )
    names = {str(i): f"LABEL_{i}" for i in range(num_classes)}
    if labels.keys() == names.keys() and labels != names:
        heads["class_names"] = tuple(str(labels[i]) for i in names)
    is_dinov3 = model_type == "eomt_dinov3"
    config = ModelConfig(
        **heads,
        pretraining="dinov3" if is_dinov3 else "dinov2",
        image_size=fields.read("image_size", "tuple[int, int]", default=None)
        or (_DEFAULT_IMAGE_SIZE, _DEFAULT_IMAGE_SIZE),
        query_blocks=fields.read("num_blocks", "int", default=4),
    )
    # The giant's gated MLPs have been published under two sets of names.
    if is_dinov3:
        layout = layouts.HF_EOMT_DINOV3
    elif "layers.0.mlp.weights_in.weight" in state:
        layout = layouts.HF_EOMT_GATED
    elif "layers.0.mlp.gate_proj.weight" in state:
        layout = layouts.HF_EOMT_GATE_APART
    else:
        layout = layouts.HF_EOMT
    return Checkpoint(path, layout, config)


def _heads(
    state: StateDict, path: Path, *, queries: str, classes: str, at: str = ""
) -> dict[str, Any]:
    """What the entries of the queries, of the class head and of the masking tell of a model."""
    num_queries, width = _matrix(state, queries, path)
    if width not in _SIZES:
        raise CheckpointError(
            f"{path}: its queries are {width} wide; known are {', '.join(map(str, _SIZES))}."
        )
    # Annealed, where the file does not say that its masks still applied when it was saved.
    probabilities = state.get(f"{at}attn_mask_probs")
    masked = probabilities is not None and bool((probabilities > 0).any())
    return {
        "rung": "pmt" if at else "eomt-masked" if masked else "eomt",
        "size": _SIZES[width],
        "num_queries": num_queries,
        "masking": "masked" if masked else "annealed",
        "class_names": unnamed_classes(_matrix(state, classes, path)[0] - 1),
        "is_thing": None,
    }


def _matrix(state: StateDict, name: str, path: Path) -> tuple[int, int]:
    """Rows and columns of an entry, axes of length 1 in front left out."""
    shape = without_leading_ones(state[name].shape, keep=2)
    if len(shape) != 2 or min(shape) < 1:
        raise CheckpointError(
            f"{path}: {name} has the shape {shape}, where rows and columns are expected."
        )
    return shape


def _existing(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise CheckpointError(f"{folder}: {name} is missing beside {CONFIG}. Fetch it as well.")
    return folder / name


def _timm_pretraining(state: StateDict) -> str:
    """Which of timm's ViTs an encoder is; DeiT-III's two pretrainings share an architecture."""
    if "encoder.backbone.reg_token" in state:
        return "dinov2"
    return "deit3-in21k" if "encoder.backbone.blocks.0.ls1.gamma" in state else "eva02"


def _image_size(count: int, trained_size: tuple[int, int] | None, path: Path) -> tuple[int, int]:
    """From the number of positions: a square, or the size of training where that is given."""
    side = math.isqrt(count)
    size = trained_size or (side * PATCH_SIZE, side * PATCH_SIZE)
    if (size[0] // PATCH_SIZE) * (size[1] // PATCH_SIZE) != count:
        given = f"not those of trained_size={size}" if trained_size else "which make no square"
        raise CheckpointError(
            f"{path}: has {count} positions, {given}; set trained_size to the height and width of "
            "the images that it was trained on."
        )
    return size


def _count(state: StateDict, pattern: str) -> int:
    return len({found[1] for found in (re.fullmatch(pattern, name) for name in state) if found})
