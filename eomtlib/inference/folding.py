"""Models for inference alone: constant factors become part of the weights beside them.

LayerScale (Touvron et al., *Going deeper with Image Transformers*, ICCV 2021) multiplies what a
linear layer has just computed. Once training is over, that layer's weights can hold the factor.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

from eomtlib.models.encoders import Encoder
from eomtlib.models.parts.segmentation_model import SegmentationModel
from eomtlib.models.pmt import PlainBlock

_LAYERS_OF_AUTOCAST = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)

_Model = TypeVar("_Model", bound=SegmentationModel)


@torch.no_grad()
def fold(model: _Model, *, precision: str = "float32") -> _Model:
    """A copy that predicts the same, up to rounding, with two operations fewer in each block.

    The copy is in eval mode and is not for training: its LayerScale is gone.

    Args:
        model: any rung; left as it is.
        precision: that it will be run in, under ``row_attention.autocast_inference``. Layers that
            autocast runs in 16 bits get their weights so, which spares their conversion in every
            call. LayerScale stays in ``float16``, whose smallest numbers its factors would reach.
    """
    model = deepcopy(model).eval().requires_grad_(False)
    for module in model.modules():
        if precision != "float16" and isinstance(module, Encoder | PlainBlock):
            for layer, factor in module.take_layer_scales():
                layer.weight.mul_(factor[:, None])
                if layer.bias is not None:
                    layer.bias.mul_(factor)
    if precision != "float32":
        for module in model.modules():
            if isinstance(module, _LAYERS_OF_AUTOCAST):
                module.to(getattr(torch, precision))
    return model
