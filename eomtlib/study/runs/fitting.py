"""How a run is trained: what its loop is told, and what says so where it is found unfinished."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from eomtlib.core.code_digest import code_digest
from eomtlib.core.hyperparameters import value_of
from eomtlib.core.machine.cpu_products import DEFAULT
from eomtlib.core.words import FIGURES
from eomtlib.evaluation.evaluate import evaluate
from eomtlib.models.checkpoints import save_model
from eomtlib.models.checkpoints.own import save_unfinished
from eomtlib.models.parts.segmentation_model import SegmentationModel
from eomtlib.study.runs.identity import Identity
from eomtlib.study.runs.making import Maker
from eomtlib.training.duration import parse_duration, parse_interval
from eomtlib.training.hyperparameters import HYPERPARAMETERS
from eomtlib.training.loop.plan_file import read_plan, write_plan
from eomtlib.training.loop.resuming import states
from eomtlib.training.loop.trainer import FitOptions
from eomtlib.training.loop.validation import ValidationPlan

BEST = "best"
"""The folder of the weights that validation found best, in the run's."""


def begin(identity: Identity, folder: Path, *, steps: int, products: str) -> None:
    """Writes down how long a training is, by what it is done, and what model its states hold."""
    resumed = bool(states(folder))
    before = str(read_plan(folder).get("code", "")).split("+") if resumed else []
    code = "+".join(dict.fromkeys([*before, code_digest()]))
    # What has begun goes on as it began, for the same digits.
    products = products_of(folder) if resumed else products
    write_plan(folder, steps=steps, code=code, products=products)
    averaged = identity.recipe.ema_decay > 0
    save_unfinished(folder, identity.model_config(), averaged=averaged)


def products_of(folder: Path) -> str:
    """What multiplies the matrices of a training that has begun (``core.machine.cpu_products``)."""
    return str(read_plan(folder).get("products", DEFAULT))


def fit_options(maker: Maker, folder: Path, *, steps: int) -> FitOptions:
    """How a run is executed.

    Args:
        maker: of the run.
        folder: of the run.
        steps: of its training.
    """
    s = maker.settings
    return FitOptions(
        run_dir=folder,
        device=s.device,
        precision=s.precision,
        checkpoint_every=_checkpoint_every(maker),
        loggers=s.loggers,
        config=_told_to_loggers(maker.identity),
        validation=_validation(maker, folder, steps=steps),
        progress=maker.materials.progress,
        name=folder.name,
        products=products_of(folder),
    )


def _checkpoint_every(maker: Maker) -> str:
    """In minutes or steps, or ``auto``."""
    s = maker.settings
    if s.checkpoint_every == "auto":
        return "auto"
    every = parse_duration(s.checkpoint_every)
    if every.unit == "minutes":
        return str(every)
    samples = len(maker.materials.train_set)
    return f"{every.steps(samples=samples, batch_size=s.batch_size)}steps"


def _told_to_loggers(identity: Identity) -> dict[str, Any]:
    """Every setting and hyper-parameter by name."""
    values = {f.name: getattr(identity.settings, f.name) for f in fields(identity.settings)}
    values |= {name: value_of(identity.recipe, known) for name, known in HYPERPARAMETERS.items()}
    simple = (int, float, str, bool, type(None))
    told = {name: v if isinstance(v, simple) else str(v) for name, v in values.items()}
    return {"rung": identity.name} | told


def _validation(maker: Maker, folder: Path, *, steps: int) -> ValidationPlan | None:
    s, identity = maker.settings, maker.identity
    if not s.validate_every:
        return None
    every = parse_interval(s.validate_every, parameter="validate_every")
    if isinstance(every, float):
        every = max(1, round(every * steps))
    else:
        every = every.steps(samples=len(maker.materials.train_set), batch_size=s.batch_size)

    def measure(model: SegmentationModel) -> dict[str, float]:
        found = evaluate(
            maker.segmenter(model),
            maker.val_loader(identity.num_validated),
            classes=maker.materials.classes,
            progress=False,
        )
        return {name: found.metrics[name] for name in FIGURES[s.task]}

    return ValidationPlan(
        every=every,
        figure=FIGURES[s.task][0],
        measure=measure,
        keep=lambda model: save_model(folder / BEST, model, identity.model_config()),
        patience=s.early_stopping,
    )
