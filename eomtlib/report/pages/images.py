"""Validation images as every trained model of a study segments them."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace

from eomtlib.report.explore.explored_models import trained_model
from eomtlib.report.explore.inspector import Inspector
from eomtlib.report.explore.sources import Picture, Segments
from eomtlib.study.records.store import ResultStore, RunResult


def segmented(
    store: ResultStore,
    models: Sequence[tuple[str, RunResult]],
    pictures: Sequence[Picture],
    *,
    device: str,
) -> dict[str, list[Segments]]:
    """Title → the segments of each picture; the target comes first, where there is one.

    Args:
        store: the results folder.
        models: titles and runs; those whose weights are gone are left out.
        pictures: to be segmented.
        device: to run on.
    """
    targets = [picture.target for picture in pictures if picture.target is not None]
    found = {"target": targets} if len(targets) == len(pictures) else {}
    for title, run in models:
        if run.training is None or not (store.root / run.training.checkpoint).is_dir():
            continue
        own = replace(trained_model(store, run.training), details="")
        seen = Inspector([own], pictures, device=device)
        found[title] = [seen(0, place).segments() for place in range(len(pictures))]
        del seen
        gc.collect()
    return found
