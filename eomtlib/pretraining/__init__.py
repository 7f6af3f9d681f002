"""Masked-image pretraining of an encoder, for machines that cannot fetch weights."""

from eomtlib.pretraining.config import PretrainingConfig, default_config
from eomtlib.pretraining.masked_autoencoder import MaskedAutoencoder, reconstruct
from eomtlib.pretraining.pictures import reconstructions
from eomtlib.pretraining.run import (
    find_pretrained,
    load_autoencoder,
    pretrain,
    pretraining_hash,
    written_hash,
)

__all__ = [
    "MaskedAutoencoder",
    "PretrainingConfig",
    "default_config",
    "find_pretrained",
    "load_autoencoder",
    "pretrain",
    "pretraining_hash",
    "reconstruct",
    "reconstructions",
    "written_hash",
]
