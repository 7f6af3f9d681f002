"""Pretrained weights for encoders: from timm's hub, its cache, or a local file or folder.

Files from outside are read as safetensors or with ``weights_only``; nothing in them is executed.
"""

from __future__ import annotations

import logging
import pickle
import warnings
from pathlib import Path

import timm
import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import eva, vision_transformer
from torch import Tensor

from eomtlib.encoders import OWN_SIZES, Encoder, PlainEncoder, check_encoder, timm_name
from eomtlib.errors import CheckpointError, ConfigurationError

logger = logging.getLogger(__name__)

_FILE_NAMES = ("model.safetensors", "pytorch_model.bin", "model.pth")
_IGNORED = ("head.", "fc_norm.", "mask_token", "norm.")


def resolve_pretraining(pretraining: str, *, size: str, weights: str | Path | None = None) -> str:
    """Says what ``auto`` means here: ``dinov2`` where its weights are at hand, else ``none``.

    At hand means: given as ``weights``, in the Hugging Face cache, or downloadable (it is then
    downloaded). The sizes of our own have no pretrained weights.

    Args:
        pretraining: ``auto`` or the name of a pretraining, which is returned as it is.
        size: of the encoder.
        weights: a local file or folder, or None.
    """
    if pretraining != "auto":
        check_encoder(size, pretraining)
        return pretraining
    check_encoder(size, "none")
    if size in OWN_SIZES:
        return "none"
    if weights:
        return "dinov2"
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
        pretraining: one of ``encoders.PRETRAININGS``; ``none`` leaves the encoder as it is.
        weights: a file, or a folder that holds one; None for timm's hub or its cache.

    Returns:
        Where the weights came from, for the record: a file name, or the hub's name.

    Raises:
        ConfigurationError: when neither a file nor the network has the weights.
        CheckpointError: when a file cannot be read or does not fit; the encoder is then unchanged.
    """
    if pretraining == "none":
        return "random"
    path = find_weights(weights, size, pretraining) if weights else _hub_file(size, pretraining)
    state = read_state_dict(path)
    family = vision_transformer if isinstance(encoder, PlainEncoder) else eva
    try:
        state = family.checkpoint_filter_fn(state, encoder.backbone)
    except (RuntimeError, KeyError, AttributeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: these are no weights of {timm_name(size, pretraining)} ({error}). "
            "Set weights to a file of that model, or change size or pretraining."
        ) from error
    check_entries(state, encoder.backbone.state_dict(), path, ignored=_IGNORED)
    own = encoder.backbone.state_dict()
    encoder.backbone.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)
    return path.name if weights else timm_name(size, pretraining)


def find_weights(weights: str | Path, size: str, pretraining: str) -> Path:
    """The file that ``weights``, a file or a folder, stands for.

    Raises:
        ConfigurationError: when it is neither, or the folder holds no file of a known name.
    """
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    name = timm_name(size, pretraining)
    names = [f"{name}{suffix}" for suffix in (".safetensors", ".bin", ".pth")]
    candidates = [path / n for n in names] + [path / name / n for n in _FILE_NAMES]
    candidates += [path / n for n in _FILE_NAMES]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    what = "holds none of these files" if path.is_dir() else "does not exist"
    raise ConfigurationError(
        f"weights={str(weights)!r} {what}; set it to a file, or to a folder that holds one of: "
        f"{', '.join([*names, *_FILE_NAMES])}."
    )


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file, or a pickle of tensors without executing anything in it.

    Raises:
        CheckpointError: when the file is truncated, no weights file, or carries code.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, because it holds more than tensors (or is damaged): a pickle can "
            "carry code. Save its state dict alone, best as safetensors."
        ) from error
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as weights ({error}). Is it complete? Fetch it again."
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds a {type(state).__name__}, not a state dict.")
    return state


def check_entries(
    found: dict[str, Tensor],
    expected: dict[str, Tensor],
    path: Path,
    *,
    ignored: tuple[str, ...] = (),
) -> None:
    """Compares a state dict's entries with a model's, before anything is loaded.

    Args:
        found: from a file.
        expected: the model's own.
        path: of the file, for the message.
        ignored: prefixes of surplus entries that do no harm (a classifier's).

    Raises:
        CheckpointError: naming the first missing, surplus, misshapen or non-finite entry.
    """
    missing = [key for key in expected if key not in found]
    surplus = [key for key in found if key not in expected and not key.startswith(ignored)]
    misshapen = [
        f"{key} is {_shape(found[key])} where the model has {_shape(expected[key])}"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    for problem, entries in (
        ("has entries of the wrong shape", misshapen),
        ("lacks entries", missing),
        ("has entries that the model does not know", surplus),
    ):
        if entries:
            more = f" and {len(entries) - 3} more" if len(entries) > 3 else ""
            raise CheckpointError(
                f"{path}: {problem}: {'; '.join(entries[:3])}{more}. Is it a file of this model "
                "at this size?"
            )
    for key in expected:
        if found[key].is_floating_point() and not torch.isfinite(found[key]).all():
            raise CheckpointError(f"{path}: {key} holds values that are not finite.")


def _shape(tensor: Tensor) -> str:
    return "×".join(str(n) for n in tensor.shape) or "a scalar"


def _hub_file(size: str, pretraining: str) -> Path:
    """The file of the weights in the Hugging Face cache, downloaded there if need be."""
    name = timm_name(size, pretraining)
    config = timm.get_pretrained_cfg(name)
    repository = config.hf_hub_id
    repository = f"timm/{name}" if repository in (None, "timm/") else repository
    for file_name in ("model.safetensors", "pytorch_model.bin"):
        cached = try_to_load_from_cache(repository, file_name)
        if isinstance(cached, str):
            return Path(cached)
    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except Exception as error:  # any failure of hub or network has the same remedy
        raise ConfigurationError(_how_to_fetch(name, repository, pretraining, error)) from error


def _how_to_fetch(name: str, repository: str, pretraining: str, error: Exception) -> str:
    licence = " Its licence must be accepted on that page first." if pretraining == "dinov3" else ""
    return (
        f"the weights of {name} are neither in the Hugging Face cache nor could they be fetched "
        f"({type(error).__name__}). On a machine with network, fetch model.safetensors of "
        f"https://huggingface.co/{repository}, put it where this machine sees it, and set weights "
        f"to that file (or to a folder that holds it as {name}.safetensors).{licence}"
    )
