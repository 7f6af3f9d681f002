"""One frozen encoder under several models: computed once, read by all.

What freezing is for (PMT, Cavagnero et al., CVPR Workshops 2026): a fine-tuned encoder serves one
task, a frozen one as many as have a head on it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.predictions import Predictions
from eomtlib.models.parts.segmentation_model import SegmentationModel


class SharedEncoder(nn.Module):
    """Several models, of any rungs, on the encoder of the first.

    Its blocks run once, as far as any model reads them: all of them for a decoder beside the ViT,
    those before the query blocks for EoMT. A ViT-Adapter writes into the ViT, so that its model
    shares the weights alone and runs them itself.

    Args:
        models: name → a model with a frozen encoder; all encoders must have the same weights, and
            of all but the first the encoder is given up.

    Raises:
        ConfigurationError: when there is no model, one trains its encoder, or encoders differ.
    """

    def __init__(self, models: Mapping[str, SegmentationModel]) -> None:
        super().__init__()
        if not models:
            raise ConfigurationError("models is empty; give at least one model.")
        first = next(iter(models.values()))
        for name, model in models.items():
            _check_same(name, model, first)
            model.encoder = first.encoder
        self.models = nn.ModuleDict(models)
        self.encoder = first.encoder

    @torch.no_grad()
    def predict_all(self, images: Tensor, *, masked: bool | None = None) -> dict[str, Predictions]:
        """The final layer of every model.

        Args:
            images: ``[B, 3, H, W]``, values 0 to 255.
            masked: as ``SegmentationModel.predict_final`` takes it.

        Returns:
            Name → what that model alone would predict.
        """
        reading = [model.reads for model in self.models.values() if model.reads is not None]
        blocks = sorted({block for reads in reading for block in reads})
        outputs = {}
        if reading:
            embedded, tapped = self.encoder.tap(images, blocks)
            outputs = dict(zip(blocks, tapped, strict=True))
        predictions = {}
        for name, model in self.models.items():
            if model.reads is None:
                predictions[name] = model.predict_final(images, masked=masked)
            else:
                read = [outputs[block] for block in model.reads]
                predictions[name] = model.run_from(embedded, read, model.masking.final_pass(masked))
        return predictions


def _check_same(name: str, model: SegmentationModel, first: SegmentationModel) -> None:
    if model.encoder.frozen != "encoder":
        raise ConfigurationError(
            f"{name}: its encoder was trained, so that no other model can share it; "
            "freeze='encoder' trains a model on one that can be shared."
        )
    own, other = model.encoder.state_dict(), first.encoder.state_dict()
    if own.keys() != other.keys() or not all(torch.equal(own[k], other[k]) for k in own):
        raise ConfigurationError(
            f"{name}: its encoder has other weights than the first model's; only models on one "
            "frozen encoder can share it."
        )
