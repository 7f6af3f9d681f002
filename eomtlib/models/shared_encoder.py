"""One frozen encoder under several decoders: computed once, read by all.

What freezing is for (PMT, Cavagnero et al., CVPR Workshops 2026): a fine-tuned encoder serves one
task, a frozen one as many as have a decoder on it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.predictions import Predictions
from eomtlib.models.pmt import PMT


class SharedEncoder(nn.Module):
    """Several PMT decoders on the encoder of the first.

    Args:
        models: name → PMT with a frozen encoder; all encoders must have the same weights, and of
            all but the first the encoder is given up.

    Raises:
        ConfigurationError: when there is no model, one trains its encoder, or encoders differ.
    """

    def __init__(self, models: Mapping[str, PMT]) -> None:
        super().__init__()
        if not models:
            raise ConfigurationError("models is empty; give at least one PMT.")
        first = next(iter(models.values()))
        for name, model in models.items():
            _check_same(name, model, first)
            model.encoder = first.encoder
        self.models = nn.ModuleDict(models)
        self.encoder = first.encoder

    @torch.no_grad()
    def predict_all(self, images: Tensor, *, masked: bool | None = None) -> dict[str, Predictions]:
        """The final layer of every decoder.

        Args:
            images: ``[B, 3, H, W]``, values 0 to 255.
            masked: as ``SegmentationModel.predict_final`` takes it.

        Returns:
            Name → what that model alone would predict.
        """
        blocks = sorted({tap for model in self.models.values() for tap in model.taps})
        tokens, tapped = self.encoder.tap(images, blocks)
        outputs = dict(zip(blocks, tapped, strict=True))
        return {
            name: model.run_on(
                model.join(tokens, [outputs[tap] for tap in model.taps]),
                model.masking.final_pass(masked),
            )
            for name, model in self.models.items()
        }


def _check_same(name: str, model: PMT, first: PMT) -> None:
    if not model.frozen_encoder:
        raise ConfigurationError(
            f"{name}: its encoder was trained, so that no other model can share it."
        )
    own, other = model.encoder.state_dict(), first.encoder.state_dict()
    if own.keys() != other.keys() or not all(torch.equal(own[k], other[k]) for k in own):
        raise ConfigurationError(
            f"{name}: its encoder has other weights than the first model's; only models on one "
            "frozen encoder can share it."
        )
