"""Pretrained weights for encoders: from timm's hub, its cache, or a local file or folder.

Files from outside are read as safetensors or with ``weights_only``; nothing in them is executed.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from safetensors import safe_open
from timm.layers import resample_abs_pos_embed
from timm.models import eva, vision_transformer

from eomtlib.core.errors import CheckpointError, ConfigurationError
from eomtlib.core.words import (
    OWN_PRETRAININGS,
    OWN_SIZES,
    RANDOM_WEIGHTS,
    SHIPPED,
)
from eomtlib.models.encoder_names import check_encoder, has_encoder, shipped_file, timm_name
from eomtlib.models.encoders import Encoder, PlainEncoder
from eomtlib.models.timm_vits import is_timm, timm_vit
from eomtlib.models.weights.layouts import DINOV3_RELEASE, TIMM
from eomtlib.models.weights.weight_files import StateDict, copy_entries, open_state_dict

_OWN_FILE = "encoder.safetensors"
_FILE_NAMES = ("model.safetensors", "pytorch_model.bin", "model.pth")
_RESAMPLED = ("patch_embed.proj.weight", "pos_embed")
# What timm's conversion raises for entries of another model.
_MISFITS = (RuntimeError, LookupError, AttributeError, ValueError, TypeError, AssertionError)


def resolve_pretraining(pretraining: str, *, size: str, weights: str | Path | None = None) -> str:
    """Says what ``auto`` means here: the best whose weights are at hand, else ``none``.

    At our own sizes that is what comes with the package, if anything does, and ``mim`` beside
    ``weights``: a file of one's own. At the papers' sizes it is ``dinov2``: given as
    ``weights``, in the Hugging Face cache, or downloadable (it is then downloaded).

    Args:
        pretraining: ``auto``, the name of a pretraining, which is returned as it is, or a name of
            timm's, which is returned with the tag of its weights.
        size: of the encoder.
        weights: a local file or folder, ``random``, or None.
    """
    if pretraining != "auto":
        check_encoder(size, pretraining)
        return timm_vit(pretraining).pretraining if is_timm(pretraining) else pretraining
    check_encoder(size, "none")
    if weights == RANDOM_WEIGHTS:
        return "none"
    if weights:
        return "mim" if size in OWN_SIZES else "dinov2"
    if size in OWN_SIZES:
        return SHIPPED if has_encoder(size, SHIPPED) else "none"
    try:
        _hub_file(size, "dinov2")
    except ConfigurationError as error:
        warnings.warn(f"pretraining='auto' becomes 'none': {error}", stacklevel=2)
        return "none"
    return "dinov2"


def load_pretrained(
    encoder: Encoder, *, size: str, pretraining: str, weights: str | Path | None = None
) -> str:
    """Fills an encoder with pretrained weights, resampled to its patch size and grid.

    Args:
        encoder: as built for the same size and pretraining.
        size: of the encoder.
        pretraining: one of ``core.words.PRETRAININGS``, or ``timm:NAME``; ``none`` leaves the
            encoder as it is.
        weights: a file, or a folder that holds one; None for timm's hub or its cache, or for what
            comes with the package; ``random`` leaves an encoder of timm's as it is. With ``mim``
            what ``eomtlib.training.pretraining`` has written, which must be given.

    Returns:
        Where the weights came from, for the record: a file name, or the hub's name.

    Raises:
        ConfigurationError: when neither a file nor the network has the weights.
        CheckpointError: when a file cannot be read or does not fit; the encoder is then unchanged.
    """
    is_own = pretraining in OWN_PRETRAININGS
    if pretraining == "none" or (weights == RANDOM_WEIGHTS and not is_own):
        return RANDOM_WEIGHTS
    if pretraining == "mim" and weights in (None, "", RANDOM_WEIGHTS):
        raise ConfigurationError(
            "pretraining='mim' has no published weights, and weights is not set. Pretrain on this "
            f"machine: eomtlib pretrain --size {size}; it prints the file to set weights "
            "to."
        )
    path = find_weights(weights, size, pretraining)
    read = _read_own if is_own else _read
    try:
        first = read(path, encoder)
    except CheckpointError:
        raise
    except _MISFITS as error:
        raise CheckpointError(
            f"{path}: these are no weights of {timm_name(size, pretraining)} ({error}). "
            "Set weights to a file of that model, or change size or pretraining."
        ) from error
    copy_entries(
        encoder.backbone.state_dict(),
        lambda: read(path, encoder, resampled={n: first[n] for n in _RESAMPLED if n in first}),
        path=path,
        layout=DINOV3_RELEASE if _is_dinov3_release(first) else TIMM,
    )
    return path.name if weights or is_own else timm_name(size, pretraining)


def find_weights(weights: str | Path | None, size: str, pretraining: str) -> Path:
    """The file that ``weights`` stands for: a file, a folder, or None as ``load_pretrained`` says.

    Raises:
        ConfigurationError: when it is neither, or the folder holds no file of a known name; or when
            the hub's file is not at hand.
    """
    if not weights:
        return shipped_file(size) if pretraining == SHIPPED else _hub_file(size, pretraining)
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    name = timm_name(size, pretraining)
    names = [f"{name}{suffix}" for suffix in (".safetensors", ".bin", ".pth")]
    if pretraining in OWN_PRETRAININGS:
        names = [_OWN_FILE]
    candidates = [path / n for n in names] + [path / name / n for n in _FILE_NAMES]
    candidates += [path / n for n in _FILE_NAMES]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    what = "holds none of these files" if path.is_dir() else "does not exist"
    raise ConfigurationError(
        f"weights={str(weights)!r} {what}; set it, for {size=} and {pretraining=}, to a file, or "
        f"to a folder that holds one of: {', '.join([*names, *_FILE_NAMES])}."
    )


def _read(path: Path, encoder: Encoder, *, resampled: StateDict | None = None) -> StateDict:
    """A file's entries under timm's names, resampled to the encoder's patch size and grid.

    Resampling the patch embedding takes a second, so that what was resampled before can be given.
    """
    state = open_state_dict(path)
    if _is_dinov3_release(state):
        return state
    if resampled:
        state.pop(_RESAMPLED[0], None)
    family = vision_transformer if isinstance(encoder, PlainEncoder) else eva
    architecture = encoder.backbone.pretrained_cfg["architecture"]
    state = family.checkpoint_filter_fn(state, encoder.backbone, **_resampling(architecture))
    # Built without a classifier, EVA-02 keeps its final LayerNorm as fc_norm; files may not.
    if "fc_norm.weight" not in state and "fc_norm.weight" in encoder.backbone.state_dict():
        for entry in ("weight", "bias"):
            if f"norm.{entry}" in state:
                state[f"fc_norm.{entry}"] = state.pop(f"norm.{entry}")
    # Without the patch embedding timm does not know the grid that positions were made for.
    return state | (resampled or {})


def _resampling(architecture: str) -> dict[str, Any]:
    """How timm resamples patches and positions of those that it does not resample bicubically."""
    if "flexi" not in architecture and "radio" not in architecture:
        return {}
    bilinear: dict[str, Any] = {"interpolation": "bilinear", "antialias": False}
    if architecture in ("vit_base_patch16_radio_v3", "vit_huge_patch16_radio_v3"):
        bilinear["align_corners"] = True
    return bilinear


def _read_own(path: Path, encoder: Encoder, *, resampled: StateDict | None = None) -> StateDict:
    """``_read`` for a file of our own pretraining: its grid is known, its patches stay as they are.

    timm would guess the grid that positions were made for, and resample patches of another size.
    """
    state = open_state_dict(path)
    if resampled:
        return state | resampled
    patches = state["patch_embed.proj.weight"], encoder.backbone.patch_embed.proj.weight
    have, need = ((weight.shape[0], *weight.shape[2:]) for weight in patches)
    if have != need:
        raise CheckpointError(
            f"{path}: is an encoder of width {have[0]} with patches of {have[1]} × {have[2]} "
            f"pixels, and the model's has width {need[0]} and patches of {need[1]} × {need[2]}. "
            "Set size to the one that was pretrained, or pretrain this one."
        )
    positions = state["pos_embed"]
    grid = _own_grid(path, positions.shape[1], encoder.patch_size)
    if grid != encoder.grid_size:
        state["pos_embed"] = resample_abs_pos_embed(
            positions, new_size=list(encoder.grid_size), old_size=list(grid), num_prefix_tokens=0
        )
    return state


def _own_grid(path: Path, num_patches: int, patch_size: int) -> tuple[int, int]:
    """The rows and columns that an encoder of ours was pretrained at; a square where none say."""
    side = math.isqrt(num_patches)
    grid = (side, side)
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            written = (file.metadata() or {}).get("image_size")
        if written:
            height, width = (int(part) for part in written.split("x"))
            grid = (height // patch_size, width // patch_size)
    if grid[0] * grid[1] != num_patches:
        raise CheckpointError(
            f"{path}: holds positions for {num_patches} patches, which are no grid of "
            f"{grid[0]} × {grid[1]}. Use the file as it was written: its image size is in it."
        )
    return grid


def _is_dinov3_release(state: StateDict) -> bool:
    return "embeddings.register_tokens" in state and "layer.0.layer_scale1.lambda1" in state


def _hub_file(size: str, pretraining: str) -> Path:
    """The file of the weights in the Hugging Face cache, downloaded there if need be."""
    name = timm_name(size, pretraining)
    config = timm.get_pretrained_cfg(name)
    if is_timm(pretraining) and not (timm_vit(pretraining).has_weights and config.hf_hub_id):
        raise ConfigurationError(
            f"pretraining={pretraining!r}: timm has no weights of it on its hub. Set weights to a "
            f"file of yours, or to {RANDOM_WEIGHTS!r} for its architecture alone."
        )
    repository = config.hf_hub_id
    repository = f"timm/{name}" if repository in (None, "timm/") else repository
    for file_name in ("model.safetensors", "pytorch_model.bin"):
        cached = try_to_load_from_cache(repository, file_name)
        if isinstance(cached, str):
            return Path(cached)
    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except Exception as error:  # any failure of hub or network has the same remedy
        gated = "dinov3" in name
        licence = " Its licence must be accepted on that page first." if gated else ""
        raise ConfigurationError(
            f"the weights of {name} are neither in the Hugging Face cache nor could they be "
            f"fetched ({type(error).__name__}). On a machine with network, fetch model.safetensors "
            f"of https://huggingface.co/{repository}, put it where this machine sees it, and set "
            f"weights to that file (or to a folder that holds it as {name}.safetensors)."
            f"{licence} weights={RANDOM_WEIGHTS!r} takes the architecture alone."
        ) from error
