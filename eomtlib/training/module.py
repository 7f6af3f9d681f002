"""Training of one model with Lightning: a step, its schedules, and what a run leaves behind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from eomtlib.core import distributed
from eomtlib.core.distributed import mean, world_size
from eomtlib.core.errors import EomtlibError
from eomtlib.core.randomness import keyed_generator, keyed_seed
from eomtlib.core.structures import Batch
from eomtlib.training.hyperparameters import Recipe
from eomtlib.training.loss import LossOutput, LossScale, SegmentationLoss, sum_of_parts
from eomtlib.training.masking import masking_probabilities, windows_of
from eomtlib.training.optimization import build_optimizer


@dataclass(frozen=True)
class TrainingPlan:
    """What is known before the first step.

    Attributes:
        steps: optimizer steps of the whole run.
        seed: key of all randomness.
        compile: whether the forward pass is compiled (one graph for the whole run).
        accumulation: parts that a process's share of a step is computed in, one after the other:
            less memory, the same step but for batch norm, whose statistics are a part's.
    """

    steps: int
    seed: int
    compile: bool = False
    accumulation: int = 1


class SegmentationModule(L.LightningModule):
    """Trains a model of the ladder: forward, loss on every layer, schedules by progress.

    Args:
        model: as ``build_model`` returns it.
        recipe: the hyper-parameters.
        plan: length and seed.
        make_loader: ``(steps, first_step, rank, world_size) → batches``, the training data from any
            step on.
        num_classes: without "no object".
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        recipe: Recipe,
        plan: TrainingPlan,
        make_loader: Callable[..., Iterable[Batch]],
        num_classes: int,
    ) -> None:
        super().__init__()
        # A step may be several backward passes, which Lightning leaves to us.
        self.automatic_optimization = False
        self.model = model
        self.recipe = recipe
        self.plan = plan
        self.make_loader = make_loader
        self.loss = SegmentationLoss(num_classes, recipe.loss)
        self.surplus_segments = 0
        if plan.compile:
            # In place, so that names in a checkpoint are the same with and without.
            model.compile(fullgraph=world_size() == 1)

    @property
    def progress(self) -> float:
        """The share of the run that is behind, in [0, 1]: the clock of every schedule."""
        return min(1.0, self.global_step / self.plan.steps)

    def train_dataloader(self) -> Iterable[Batch]:
        """The stream of batches, from the current step on."""
        return self.make_loader(
            steps=self.plan.steps,
            first_step=self.global_step,
            rank=self.global_rank,
            world_size=self.trainer.world_size,
        )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, _: int) -> Batch:
        return batch.to(device, non_blocking=True)

    def training_step(self, batch: Batch, _: int) -> None:
        probabilities = self._set_masking()
        scale = self.loss.scale(batch.segments, self.model.num_queries)
        parts = batch.split(self.plan.accumulation)
        outputs = []
        for number, part in enumerate(parts, start=1):
            with self._exchange_gradients(number == len(parts)):
                outputs.append(self._backward(part, scale))
        self._report(sum_of_parts(outputs), probabilities, len(batch))
        optimizer = self.optimizers()
        optimizer.step()
        optimizer.zero_grad()
        self.lr_schedulers().step()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        # Gradients are unscaled by now: the fused optimizer is not used with a loss scaler.
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.gradient_clip)

    def configure_optimizers(self) -> tuple[list[object], list[object]]:
        optimizer, scheduler = build_optimizer(
            self.model, self.recipe.optimizer, total_steps=self.plan.steps
        )
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["surplus_segments"] = sum(distributed.gathered(self.surplus_segments))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Of all processes, which are added up again at the end.
        self.surplus_segments = checkpoint["surplus_segments"] if distributed.is_first() else 0

    def _backward(self, part: Batch, scale: LossScale) -> LossOutput:
        """The loss of a part of a step, its gradients added to those that are there."""
        # Covers what draws from torch's global generator, such as rotary augmentation: alike for
        # all parts and on all processes.
        torch.manual_seed(keyed_seed(self.plan.seed, "model", self.global_step))
        predictions = self.model(part.images, self._mask_draws(part))
        generators = [
            keyed_generator(self.plan.seed, "points", index, device=self.device)
            for index in part.indices
        ]
        out = self.loss(predictions, part.segments, generators=generators, scale=scale)
        self.manual_backward(out.total)
        return out

    def _exchange_gradients(self, now: bool) -> AbstractContextManager:
        """Whether processes exchange their gradients in the backward pass within."""
        strategy = self.trainer.strategy
        if now or not isinstance(strategy, ParallelStrategy):
            return nullcontext()
        return strategy.block_backward_sync()

    def _set_masking(self) -> list[float]:
        """Fills the model's masking probabilities for this step."""
        masking = self.model.masking
        if masking.mode != "annealed":
            return [1.0 if masking.mode == "masked" else 0.0] * masking.num_blocks
        annealing = self.recipe.annealing
        windows = windows_of(annealing, masking.num_blocks, total_steps=self.plan.steps)
        values = masking_probabilities(self.progress, windows, power=annealing.power)
        masking.probabilities.copy_(torch.tensor(values), non_blocking=True)
        return list(values)

    def _mask_draws(self, batch: Batch) -> Tensor | None:
        """Uniform numbers ``[B, blocks, Q]``, keyed by the sample's place in the run."""
        masking = self.model.masking
        if masking.mode != "annealed":
            return None
        shape = (masking.num_blocks, self.model.num_queries)
        draws = [
            torch.rand(shape, generator=keyed_generator(self.plan.seed, "masking", index))
            for index in batch.indices
        ]
        return torch.stack(draws).to(self.device, non_blocking=True)

    def _report(self, out: LossOutput, probabilities: list[float], batch_size: int) -> None:
        if out.num_surplus and not self.surplus_segments:
            warnings.warn(
                f"an image has more segments than the model's {self.model.num_queries} queries; "
                "they are matched as far as queries go. Said once; the record holds the count. "
                "Raise num_queries if it is large.",
                stacklevel=2,
            )
        self.surplus_segments += int(out.num_surplus)
        logs_now = (self.global_step + 1) % self.trainer.log_every_n_steps == 0
        losses = {"loss": out.total.detach() / len(out.class_loss)}
        parts = {"class": out.class_loss, "mask": out.mask_loss, "dice": out.dice_loss}
        losses |= {f"loss_{name}": layers[-1] for name, layers in parts.items()}
        if logs_now:
            losses = dict(zip(losses, mean(torch.stack(list(losses.values()))), strict=True))
        # Looked at only where it is logged anyway, for looking waits for the GPU; and the mean over
        # processes, so that all of them stop.
        if logs_now and not losses["loss"].isfinite():
            raise EomtlibError(
                f"the loss of step {self.global_step} is not finite. Lower the learning rate of "
                "the recipe, or find the cause with precision='float32' and compile='no'."
            )
        values = dict(losses)
        values |= {f"masking_{k}": p for k, p in enumerate(probabilities)}
        groups = self.optimizers().param_groups
        values["lr"] = max(group["lr"] for group in groups)
        self.log_dict(values, batch_size=batch_size)
        self.log("loss_per_layer", values["loss"], prog_bar=True, logger=False)
