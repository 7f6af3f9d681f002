"""Which encoders there are: size × pretraining, or a name of timm's → timm's name."""

from __future__ import annotations

from pathlib import Path

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.words import (
    DEFAULT_SIZE,
    OWN_PRETRAININGS,
    PAPER_SIZES,
    PRETRAININGS,
    SHIPPED,
    SIZES,
)
from eomtlib.models.timm_vits import check_timm_size, is_timm, timm_vit

OWN_VITS = {
    "nano": {"embed_dim": 128, "depth": 6, "num_heads": 4, "patch_size": 8},
    "micro": {"embed_dim": 192, "depth": 8, "num_heads": 6, "patch_size": 8},
}
"""ViTs of our own, in DINOv2's form, small enough to be trained on a CPU, as timm takes them."""

_DINOV2 = {size: f"vit_{size}_patch14_reg4_dinov2.lvd142m" for size in PAPER_SIZES}
_THREE_SIZES = PAPER_SIZES[:3]

TIMM_NAMES: dict[str, dict[str, str]] = {
    "dinov2": _DINOV2,
    "dinov3": {s: f"vit_{s}_patch16_dinov3_qkvb.lvd1689m" for s in _THREE_SIZES},
    "eva02": {
        "small": "eva02_small_patch14_224.mim_in22k",
        "base": "eva02_base_patch14_224.mim_in22k",
        "large": "eva02_large_patch14_224.mim_m38m",
    },
    "deit3-in21k": {s: f"deit3_{s}_patch16_384.fb_in22k_ft_in1k" for s in _THREE_SIZES},
    "deit3-in1k": {s: f"deit3_{s}_patch16_384.fb_in1k" for s in _THREE_SIZES},
}
"""Pretraining → size → the name under which timm publishes architecture and weights."""


def has_encoder(size: str, pretraining: str) -> bool:
    """Whether a known pretraining exists at a known size."""
    if is_timm(pretraining):
        return size == timm_vit(pretraining).size
    if pretraining == SHIPPED:
        return shipped_file(size).is_file()
    return pretraining in OWN_PRETRAININGS or size in TIMM_NAMES[pretraining]


def shipped_file(size: str) -> Path:
    """The weights of ``SHIPPED`` that come with the package, at 16 bits; few sizes have them.

    Args:
        size: of the encoder.
    """
    return Path(__file__).parent / "weights" / "shipped" / f"{size}.safetensors"


def encoder_size(size: str | None, pretraining: str) -> str:
    """The size of an encoder: what was given, or what one of timm's names says.

    Args:
        size: None where it was not given; so does ``DEFAULT_SIZE`` beside a name of timm's.
        pretraining: of the encoder.

    Raises:
        ConfigurationError: where no size was given and none is said, or another one is.
    """
    if is_timm(pretraining):
        size = timm_vit(pretraining).size if size in (None, DEFAULT_SIZE) else size
    elif size is None:
        raise ConfigurationError(
            f"size is not given, and pretraining={pretraining!r} does not tell it; choose one of: "
            f"{', '.join(SIZES)}."
        )
    check_encoder(size, pretraining)
    return size


def check_encoder(size: str, pretraining: str) -> None:
    """Raises a ``ConfigurationError`` unless this pretraining exists at this size."""
    check_choice("size", size, SIZES)
    if is_timm(pretraining):
        check_timm_size(size, pretraining)
        return
    check_choice("pretraining", pretraining, (*PRETRAININGS, "timm:NAME"))
    if not has_encoder(size, pretraining):
        sizes = ", ".join(s for s in SIZES if has_encoder(s, pretraining)) or "none"
        raise ConfigurationError(
            f"pretraining={pretraining!r} does not exist at size={size!r}, only at {sizes}. "
            "Choose one of these sizes, or pretraining='none' or 'mim'."
        )


def timm_name(size: str, pretraining: str) -> str:
    """The timm architecture behind a size and a pretraining (without one of timm's: DINOv2's)."""
    check_encoder(size, pretraining)
    if is_timm(pretraining):
        return timm_vit(pretraining).name
    names = _DINOV2 if pretraining in OWN_PRETRAININGS else TIMM_NAMES[pretraining]
    return names.get(size, _DINOV2["small"])
