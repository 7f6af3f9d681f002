"""Segmentation checkpoints, in and out: our own, the authors' and Hugging Face's."""

from eomtlib.checkpoints.identify import Checkpoint, describe, identify
from eomtlib.checkpoints.loading import load_model
from eomtlib.checkpoints.own import ModelConfig, save_model

__all__ = [
    "Checkpoint",
    "ModelConfig",
    "describe",
    "identify",
    "load_model",
    "save_model",
]
