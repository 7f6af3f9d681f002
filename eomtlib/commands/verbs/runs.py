"""``runs``: what is in a results folder, why a run is found or not, and the end of some."""

from __future__ import annotations

import argparse

from eomtlib.commands.verbs.fit import read_configuration
from eomtlib.core.console import deliver, show
from eomtlib.study.listing import delete_runs, explain, list_runs
from eomtlib.study.parameters.parsing import resolve_results_dir
from eomtlib.study.records.store import ResultStore
from eomtlib.study.study import Study


def run(chosen: argparse.Namespace) -> None:
    """Lists, explains or deletes."""
    given = read_configuration(chosen)
    store = ResultStore(resolve_results_dir(given.get("results_dir", "results/runs")))
    if chosen.delete:
        deleted = delete_runs(store, chosen.delete)
        for path in deleted:
            show(f"Deleted: {path}")
        deliver({"deleted": deleted})
    elif chosen.explain:
        study = Study(**{"rungs": "eomt", "progress": False} | given)
        explained = [explain(run) for run in study.runs]
        show("\n\n".join(explained))
        deliver({"explained": explained})
    else:
        table = list_runs(store)
        show(f"{store.root}: no runs." if table.empty else table.to_string(index=False))
        deliver({"results_dir": store.root, "runs": table.to_dict("records")})
