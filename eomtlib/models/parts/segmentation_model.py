"""What every rung of the ladder is: a network that predicts classes and masks of queries."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from eomtlib.core.predictions import Predictions
from eomtlib.core.structures import Tokens
from eomtlib.models.encoders import Encoder
from eomtlib.models.parts.masked_attention import Masking, Pass


class SegmentationModel(nn.Module):
    """Base of the ladder's models.

    Attributes:
        masking: which blocks are masked, and how often.
        num_queries: Q.
        size_divisor: what the image's sides must be multiples of.
        reads: the encoder's blocks whose outputs it goes on from, ascending; where several models
            have one encoder it need run but once. None for a model that runs through the encoder.
    """

    encoder: Encoder
    reads: tuple[int, ...] | None
    masking: Masking
    num_queries: int
    size_divisor: int

    def set_image_size(self, image_size: tuple[int, int]) -> None:
        """Resamples what depends on the image's height and width."""
        raise NotImplementedError

    def run(self, images: Tensor, way: Pass) -> Predictions:
        """``[B, 3, H, W]`` images of values 0 to 255 → what ``way`` asks for."""
        embedded, outputs = self.encoder.tap(images, self.reads)
        return self.run_from(embedded, outputs, way)

    def run_from(self, embedded: Tokens, outputs: Sequence[Tokens], way: Pass) -> Predictions:
        """``run`` from the tokens before the first block and those after each of ``reads``."""
        raise NotImplementedError

    def forward(self, images: Tensor, mask_draws: Tensor | None = None) -> Predictions:
        """Predictions of every supervised layer, the final one last.

        Args:
            images: ``[B, 3, H, W]``, values 0 to 255.
            mask_draws: uniform numbers ``[B, masked blocks, Q]`` that decide, in mode ``annealed``,
                which queries' masks apply; drawn from torch's generator when None.
        """
        return self.run(images, self.masking.training_pass(mask_draws))

    def predict_final(self, images: Tensor, *, masked: bool | None = None) -> Predictions:
        """The final layer alone, and nothing that it does not need.

        Args:
            images: ``[B, 3, H, W]``, values 0 to 255.
            masked: whether attention is masked; by default as the model was trained to end up.
        """
        return self.run(images, self.masking.final_pass(masked))

    def predict(self, images: Tensor, *, masked: bool | None = None) -> tuple[Tensor, Tensor]:
        """The final mask logits ``[B, Q, h, w]`` and class logits ``[B, Q, classes + 1]``.

        Args:
            images: ``[B, 3, H, W]``, values 0 to 255.
            masked: whether attention is masked; by default as the model was trained to end up.
        """
        return self.predict_final(images, masked=masked).final
