"""Training of one model with Lightning: a step, its schedules, and what a run leaves behind."""

from __future__ import annotations

import math
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

from eomtlib.core.errors import EomtlibError
from eomtlib.core.machine import distributed
from eomtlib.core.machine.memory import peak_so_far
from eomtlib.core.randomness import keyed_generator, keyed_seed
from eomtlib.core.structures import Batch
from eomtlib.models.rotary import ropes_of
from eomtlib.training.hyperparameters import Recipe
from eomtlib.training.loop.averaging import AveragedModel
from eomtlib.training.loop.pace import Pace
from eomtlib.training.loss import LossNormalizer, LossOutput, SegmentationLoss, sum_of_parts
from eomtlib.training.masking import masking_probabilities, windows_of
from eomtlib.training.optimization import build_optimizer

_SKIPPED_AT_MOST = 10  # in a row


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

    Attributes:
        surplus_segments: segments that had no query left, on this process.
        skipped_steps: steps that were left out because their gradient was not finite.
        shown: what a progress bar says.
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
        self.skipped_steps = self._skipped_in_a_row = 0
        self.shown: dict[str, str] = {}
        self._pace, self._grad_norm = Pace(), math.nan
        self._ropes = ropes_of(model)
        self.averaged = AveragedModel(model, recipe.ema_decay) if recipe.ema_decay else None
        if plan.compile:
            # In place, so that names in a checkpoint are the same with and without.
            model.compile(fullgraph=distributed.world_size() == 1)

    @property
    def final_model(self) -> nn.Module:
        """The one to be kept: the average of the weights where there is one."""
        return self.model if self.averaged is None else self.averaged.average

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
        self._pace.step_begins()
        probabilities = self._set_masking()
        rescaling = keyed_generator(self.plan.seed, "model", self.global_step)
        for rope in self._ropes:
            rope.rescale(rescaling)
        normalizer = self.loss.normalizer(batch.segments, self.model.num_queries)
        parts = batch.split(self.plan.accumulation)
        outputs = []
        for number, part in enumerate(parts, start=1):
            with self._exchange_gradients(number == len(parts)):
                outputs.append(self._backward(part, normalizer))
        optimizer = self.optimizers()
        rates = [group["lr"] for group in optimizer.param_groups]
        optimizer.step()
        optimizer.zero_grad()
        self.lr_schedulers().step()
        if self.averaged is not None:
            self.averaged.update(self.model)
        self._pace.step_ends(len(batch) * distributed.world_size())
        self._report(sum_of_parts(outputs), probabilities, rates)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clips the gradient, and leaves the step out where it is not finite.

        Its norm is the same on all processes, so all of them do. The step counts as one, for the
        schedules and the data: weights and what the optimizer remembers stay as they are.
        """
        # Gradients are unscaled by now: the fused optimizer is not used with a loss scaler.
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.gradient_clip)
        self._grad_norm = float(norm)  # waits for a GPU, as the matching does
        if math.isfinite(self._grad_norm):
            self._skipped_in_a_row = 0
            return
        self.model.zero_grad(set_to_none=True)
        self.skipped_steps += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= _SKIPPED_AT_MOST:
            raise EomtlibError(
                f"the gradient was not finite in {_SKIPPED_AT_MOST} steps in a row, up to step "
                f"{self.global_step}. The weights before them are sound, and the last state is "
                "kept. Lower lr (or gradient_clip), or find the cause with precision='float32' and "
                "compile='no'."
            )

    def on_train_batch_end(self, *_: Any) -> None:
        self._pace.waiting_begins()

    def configure_optimizers(self) -> tuple[list[object], list[object]]:
        optimizer, scheduler = build_optimizer(
            self.model,
            self.recipe.optimizer,
            total_steps=self.plan.steps,
            scaled_loss=self.trainer.precision == "16-mixed",
        )
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["surplus_segments"] = sum(distributed.gathered(self.surplus_segments))
        checkpoint["skipped_steps"] = self.skipped_steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Of all processes, which are added up again at the end.
        self.surplus_segments = checkpoint["surplus_segments"] if distributed.is_first() else 0
        self.skipped_steps = checkpoint.get("skipped_steps", 0)

    def _backward(self, part: Batch, normalizer: LossNormalizer) -> LossOutput:
        """The loss of a part of a step, its gradients added to those that are there."""
        # Covers what draws from torch's global generator: alike for all parts, on all processes.
        torch.manual_seed(keyed_seed(self.plan.seed, "model", self.global_step))
        predictions = self.model(part.images, self._mask_draws(part))
        generators = [
            keyed_generator(self.plan.seed, "points", index, device=self.device)
            for index in part.indices
        ]
        out = self.loss(predictions, part.segments, generators=generators, normalizer=normalizer)
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

    def _report(self, out: LossOutput, probabilities: list[float], rates: list[float]) -> None:
        if out.num_surplus and not self.surplus_segments:
            warnings.warn(
                f"an image has more segments than the model's {self.model.num_queries} queries; "
                "they are matched as far as queries go. Said once; the record holds the count. "
                "Raise num_queries if it is large.",
                stacklevel=2,
            )
        self.surplus_segments += int(out.num_surplus)
        # Looked at only where it is logged, for looking waits for the GPU.
        if self.global_step % self.trainer.log_every_n_steps:
            return
        parts = torch.stack((out.class_loss, out.mask_loss, out.dice_loss))
        means = distributed.mean(
            torch.cat((out.total.detach().view(1, 1).expand(3, 1), parts), dim=1)
        ).tolist()
        layers = len(out.class_loss)
        values = {"loss": means[0][0] / layers}
        names = ("class", "mask", "dice")
        values |= {f"loss_{name}": row[-1] for name, row in zip(names, means, strict=True)}
        values |= {
            f"loss_{name}_layer{k}": row[1 + k]
            for name, row in zip(names, means, strict=True)
            for k in range(layers - 1)
        }
        values |= {f"masking_{k}": p for k, p in enumerate(probabilities)}
        groups = self.optimizers().param_groups
        values |= {
            f"lr_{'encoder' if group['is_encoder'] else 'new'}_{group['initial_lr']:.3g}": rate
            for group, rate in zip(groups, rates, strict=True)
        }
        values |= {
            "lr": max(rates),
            "grad_norm": self._grad_norm,
            "skipped_steps": float(self.skipped_steps),
            "memory_mib": peak_so_far(self.device),
            **self._pace.figures(),
        }
        self.log_dict(values)
        self.shown["loss_per_layer"] = f"{values['loss']:.3f}"
