"""Checkpoints, in and out: our own, the authors' and Hugging Face's.

A checkpoint is the file, or the folder, of a finished segmentation model. What a training run
writes to go on from is none.
"""

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
