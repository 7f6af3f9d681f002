"""What a training comes to while it goes on: figures on validation images, and the best weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import nn

from eomtlib.core.machine import distributed

PREFIX = "val_"
"""Of the columns of the curves."""


@dataclass(frozen=True)
class ValidationPlan:
    """When a training is validated, and by what.

    Attributes:
        every: steps between two validations; the last step is always one.
        figure: the one that says which weights are best, of those that ``measure`` returns; higher
            is better.
        measure: a model in eval mode → its figures, the same on all processes, which call it
            together.
        keep: writes the weights of a model that was better than all before; called on the first
            process alone.
        patience: validations without a better figure after which training ends; 0 for never.
    """

    every: int
    figure: str
    measure: Callable[[nn.Module], dict[str, float]]
    keep: Callable[[nn.Module], None]
    patience: int = 0


class Validation(Callback):
    """Validates a training, writes the figures beside its losses, and keeps the best weights.

    Attributes:
        best: the step and the figure of the best weights; empty before the first validation.
        stopped_early: whether patience was at its end.
        seconds: spent, over all sittings.
    """

    def __init__(self, plan: ValidationPlan) -> None:
        self.plan = plan
        self.best: dict[str, float] = {}
        self.stopped_early = False
        self.seconds = 0.0
        self._without_better = 0

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": dict(self.best),
            "without_better": self._without_better,
            "stopped_early": self.stopped_early,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = dict(state_dict["best"])
        self._without_better = state_dict["without_better"]
        self.stopped_early = state_dict["stopped_early"]
        self.seconds = state_dict["seconds"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # A kill may have come between the end that was decided on and the last record.
        trainer.should_stop = trainer.should_stop or self.stopped_early

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if step % self.plan.every and step != trainer.max_steps:
            return
        start = time.perf_counter()
        model = pl_module.final_model
        was_training = model.training
        figures = self.plan.measure(model.eval())
        model.train(was_training)
        value = figures[self.plan.figure]
        for logger in trainer.loggers:
            logged = {f"{PREFIX}{name}": number for name, number in figures.items()}
            logger.log_metrics(logged, step=step - 1)
        pl_module.shown[f"{PREFIX}{self.plan.figure}"] = f"{value:.1f}"
        # A figure that is no number is better than none.
        if not self.best or value > self.best[self.plan.figure]:
            self.best = {"step": step, self.plan.figure: value}
            self._without_better = 0
            distributed.on_first(lambda: self.plan.keep(model))
        else:
            self._without_better += 1
        if self.plan.patience and self._without_better >= self.plan.patience:
            self.stopped_early = trainer.should_stop = True
        self.seconds += time.perf_counter() - start
