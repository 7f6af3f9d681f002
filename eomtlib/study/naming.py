"""Runs by their names: the checkpoint that one stands for, and the run that a checkpoint is of."""

from __future__ import annotations

import difflib
from pathlib import Path

from eomtlib.core.errors import ConfigurationError
from eomtlib.models.checkpoints.own import CONFIG, MODEL
from eomtlib.study.parameters.parsing import read_path, resolve_results_dir
from eomtlib.study.records.kinds import TrainingRecord
from eomtlib.study.records.store import ResultStore
from eomtlib.training.loop.plan_file import PLAN_FILE


def runs_of(store: ResultStore) -> dict[str, tuple[Path, TrainingRecord | None]]:
    """Name → its folder and the record of its training, the oldest first; then those begun."""
    trained: dict[str, tuple[Path, TrainingRecord | None]] = {}
    for record in store.records("training"):
        folder = (store.root / record.checkpoint).parent
        trained[folder.name] = folder, record
    begun = sorted({path.parent for path in store.root.glob(f"**/{PLAN_FILE}")})
    return trained | {f.name: (f, None) for f in begun if f.name not in trained}


def find_checkpoint(name: str, results_dir: str | Path = "results/runs") -> Path:
    """What somebody means by the name of a checkpoint, for ``models.checkpoints.identify``.

    Args:
        name: a file or folder as it is; a results folder, for its newest finished run; or a run's
            name, as ``eomtlib runs`` lists it, or a beginning that no other run has.
        results_dir: where names are looked up.

    Raises:
        ConfigurationError: when a name is of no run, or the beginning of several, or a results
            folder has no finished run.
    """
    path = read_path("checkpoint", name)
    if (path / "records").is_dir() and not (path / CONFIG).is_file():
        folders = [folder for folder, _ in runs_of(ResultStore(path)).values()]
        finished = [folder for folder in folders if (folder / MODEL / CONFIG).is_file()]
        if not finished:
            raise ConfigurationError(
                f"checkpoint={name!r} is a results folder without a finished run."
            )
        return finished[-1]
    if path.exists() or len(path.parts) > 1:
        return path
    store = ResultStore(resolve_results_dir(results_dir))
    folders = {known: folder for known, (folder, _) in runs_of(store).items()}
    fitting = [name] if name in folders else [known for known in folders if known.startswith(name)]
    if len(fitting) == 1:
        return folders[fitting[0]]
    where = f"checkpoint={name!r} is no file or folder, and in {store.root} (results_dir)"
    if fitting:
        raise ConfigurationError(
            f"{where} {len(fitting)} runs are called so: {_listed(fitting)}. Write more of it."
        )
    # A beginning is compared with beginnings.
    heads = {known: known[: len(name)] for known in folders}
    near = difflib.get_close_matches(name, set(heads.values()), n=3)
    close = [known for head in near for known in folders if heads[known] == head]
    hint = f" Did you mean {_listed(close)}?" if close else ""
    raise ConfigurationError(f"{where} no run is called so.{hint} `eomtlib runs` lists them.")


def run_of(checkpoint: Path) -> tuple[ResultStore, TrainingRecord] | None:
    """The results folder and the training that a finished model is of; None for any other."""
    path = checkpoint.expanduser().resolve()
    model = path / MODEL if (path / MODEL / CONFIG).is_file() else path
    # A run's folder is in the results folder, or in one of an earlier version's in it.
    for root in model.parents[1:3]:
        for record in ResultStore(root).records("training"):
            if (root / record.checkpoint).resolve() == model:
                return ResultStore(root), record
    return None


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
