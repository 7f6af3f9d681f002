"""``benchmark``: the speed of the ladder on this machine."""

from __future__ import annotations

import argparse

from eomtlib.core.console import deliver, show
from eomtlib.report.tables import save_table
from eomtlib.report.tables.speed import speed_table
from eomtlib.study.parameters.parsing import resolve_results_dir
from eomtlib.study.questions import time_ladder


def run(chosen: argparse.Namespace) -> None:
    """Times, prints the table and writes it."""
    records = time_ladder(
        sizes=chosen.sizes,
        pretrainings=chosen.pretrainings,
        rungs=chosen.rungs,
        timing_modes=chosen.modes,
        samplers=chosen.samplers,
        device=chosen.device,
        precision=chosen.precision,
        image_size=chosen.image_size or None,
        results_dir=chosen.results_dir,
    )
    table = speed_table(records)
    path = resolve_results_dir(chosen.results_dir) / "tables" / "speed" / "speed"
    written = save_table(table, path)
    show(table.to_string(index=False, na_rep="–", float_format=lambda value: f"{value:.3g}"))
    show(f"Written: {', '.join(str(file) for file in written)}")
    deliver({"timings": table.to_dict("records"), "written": written})
