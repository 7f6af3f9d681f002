"""Segmentation checkpoints, in and out: our own, the authors' and Hugging Face's."""

from eomtlib.models.checkpoints.identify import Checkpoint, describe, identify
from eomtlib.models.checkpoints.loading import load_model
from eomtlib.models.checkpoints.own import ModelConfig, save_model

__all__ = [
    "Checkpoint",
    "ModelConfig",
    "describe",
    "identify",
    "load_model",
    "save_model",
]
