"""A pretraining with Lightning: a step, and its schedule."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from eomtlib.core.errors import EomtlibError
from eomtlib.core.randomness import keyed_generator, keyed_seed
from eomtlib.core.structures import Batch
from eomtlib.data.feed.loaders import TrainStream
from eomtlib.training.optimization import build_optimizer
from eomtlib.training.pretraining.config import PretrainingConfig
from eomtlib.training.pretraining.distillation import build_distillation
from eomtlib.training.pretraining.masked_autoencoder import build_autoencoder
from eomtlib.training.pretraining.probe import LinearProbe

_BETAS = (0.9, 0.95)  # MAE, Appendix A.1
_LOOK_EVERY = 25


class PretrainingModule(L.LightningModule):
    """Trains a masked autoencoder, or by a teacher, its weights keyed by the seed.

    Args:
        config: what is trained.
        stream: of what.

    Attributes:
        losses: ``[steps]``, on the device; looking at one waits for a GPU.
        probed: step and ``ProbeScore`` of the encoder, before every ``probe_every``-th step.
        shown: what a progress bar says.
    """

    losses: Tensor

    def __init__(self, config: PretrainingConfig, stream: TrainStream) -> None:
        super().__init__()
        self.config, self._stream = config, stream
        self.shown: dict[str, str] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(keyed_seed(config.seed, "weights"))
            self.model = (build_distillation if config.teacher else build_autoencoder)(config)
        self.register_buffer("losses", torch.zeros(config.steps))
        self._probe = LinearProbe(config.image_size) if config.probe_every else None
        self.probed: list[dict[str, float]] = []

    def train_dataloader(self) -> DataLoader:
        """The batches from the current step on."""
        return self._stream.loader(steps=self.config.steps, first_step=self.global_step)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, _: int) -> Tensor:
        return batch.images.to(device, non_blocking=True)

    def training_step(self, images: Tensor, _: int) -> Tensor:
        step = self.global_step
        if self._probe and step % self.config.probe_every == 0:
            self.probe(step)
        generator = keyed_generator(self.config.seed, "masking", step)
        loss = self.model.loss(images, generator)
        self.losses[step] = loss.detach()
        if (step + 1) % _LOOK_EVERY == 0 or step + 1 == self.config.steps:
            recent = self.losses[max(0, step + 1 - _LOOK_EVERY) : step + 1].mean()
            if not recent.isfinite():
                raise EomtlibError(
                    f"the loss of pretraining is not finite near step {step + 1}. Lower "
                    f"lr={self.config.lr}, or find the cause with precision='float32'."
                )
            self.shown["loss"] = f"{float(recent):.3f}"
        return loss

    def on_train_end(self) -> None:
        if self._probe and self.global_step == self.config.steps:
            self.probe(self.global_step)

    def probe(self, step: int) -> None:
        """Adds the score of the encoder as it is to ``probed``."""
        score = self._probe(self.model.encoder)
        self.probed.append({"step": step} | score._asdict())
        self.shown["probe"] = f"{100 * score.miou:.1f} mIoU"

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["probed"] = self.probed

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.probed = checkpoint.get("probed", [])

    def configure_optimizers(self) -> tuple[list[object], list[object]]:
        config = self.config
        optimizer, scheduler = build_optimizer(
            self.model, config.optimizer, total_steps=config.steps, betas=_BETAS
        )
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]
