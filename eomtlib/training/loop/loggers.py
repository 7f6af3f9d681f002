"""Where the figures of a run are shown: files of its folder, TensorBoard, MLflow, W&B."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from eomtlib.core.errors import EomtlibError
from eomtlib.core.machine import distributed
from eomtlib.training.loop.plan_file import read_plan, write_plan

LOGGERS: dict[str, Callable[[Path, str, str | None], Logger]] = {
    "csv": lambda where, *_: CSVLogger(where, name="logs", flush_logs_every_n_steps=1),
    # One folder for all sittings, whose files TensorBoard reads as one run.
    "tensorboard": lambda where, *_: TensorBoardLogger(where, name="tensorboard", version=""),
    "mlflow": lambda where, name, run_id: MLFlowLogger(
        "eomtlib", run_name=name, tracking_uri=_mlflow_store(where), run_id=run_id
    ),
    "wandb": lambda where, name, run_id: WandbLogger(
        name=name, project="eomtlib", save_dir=where, id=run_id, resume="allow"
    ),
}
"""Folder and name of a run, and the id under which the logger knows it, None where it makes one up
→ a logger."""


def _mlflow_store(run_dir: Path) -> str:
    """The server that ``MLFLOW_TRACKING_URI`` names, or files in the run's folder."""
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # else it asks for a database
    return f"file:{run_dir}/mlflow"


def open_loggers(
    names: tuple[str, ...],
    *,
    run_dir: Path,
    name: str,
    config: Mapping[str, Any],
    alone: bool = False,
) -> list[Logger]:
    """A logger for each name, told the configuration; a resumed run goes on in its own.

    Args:
        names: of ``LOGGERS``; ``csv`` is there always, since curves are read from it.
        run_dir: of the run.
        name: of the run.
        config: every hyper-parameter and setting, by name.
        alone: whether this process logs what the others do not; then ``names`` are all.

    Raises:
        EomtlibError: where a logger cannot be opened.
    """
    chosen = names if "csv" in names or alone else ("csv", *names)
    ids = distributed.on_first(lambda: _ids(run_dir, chosen), alone=alone)
    loggers = []
    for one in chosen:
        try:
            logger = LOGGERS[one](run_dir, name, ids.get(one))
            if one != "csv":
                logger.log_hyperparams(dict(config))
        except Exception as error:  # of services and libraries of others, of any kind
            raise EomtlibError(
                f"loggers={one!r} cannot be opened ({type(error).__name__}: {error}). Leave it "
                "out, or mend its settings."
            ) from error
        loggers.append(logger)
    if "mlflow" in chosen and "mlflow" not in ids and distributed.is_first():
        run_id = loggers[chosen.index("mlflow")].run_id
        write_plan(run_dir, ids=ids | {"mlflow": run_id})
    return loggers


def close_loggers(loggers: list[Logger]) -> None:
    """Ends what a logger keeps open in this process, so that the next run has its own."""
    for logger in loggers:
        logger.finalize("success")
        if isinstance(logger, WandbLogger):
            with suppress(Exception):  # its service may be gone; figures are in csv
                logger.experiment.finish()


def _ids(run_dir: Path, names: tuple[str, ...]) -> dict[str, str]:
    """What the run is called by the loggers that need to know, made up where it is new."""
    ids = dict(read_plan(run_dir).get("ids", {}))
    if "wandb" in names and "wandb" not in ids:
        ids["wandb"] = secrets.token_hex(4)
        write_plan(run_dir, ids=ids)
    return ids
