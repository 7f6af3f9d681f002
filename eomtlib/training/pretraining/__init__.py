"""Pretraining of an encoder on images without labels: by hidden pixels, or by a teacher."""

from eomtlib.training.pretraining.config import PretrainingConfig, default_config
from eomtlib.training.pretraining.masked_autoencoder import MaskedAutoencoder, reconstruct
from eomtlib.training.pretraining.outcome import (
    find_pretrained,
    load_autoencoder,
    pretrain,
    pretraining_hash,
    written_hash,
)
from eomtlib.training.pretraining.reconstructions import reconstructions
from eomtlib.training.pretraining.shipping import check_shipping, ship

__all__ = [
    "MaskedAutoencoder",
    "PretrainingConfig",
    "check_shipping",
    "default_config",
    "find_pretrained",
    "load_autoencoder",
    "pretrain",
    "pretraining_hash",
    "reconstruct",
    "reconstructions",
    "ship",
    "written_hash",
]
