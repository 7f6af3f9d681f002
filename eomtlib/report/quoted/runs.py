"""Which of a gallery's runs a quoted figure is derived from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.hyperparameters import in_key
from eomtlib.core.words import OWN_SIZES, SHIPPED
from eomtlib.models.ladder import LADDER
from eomtlib.report.frame import run_as_built, to_dataframe
from eomtlib.report.papers.filling import read_records
from eomtlib.report.timings import same_measure
from eomtlib.study.parameters.defaults import GALLERY_DURATION, embedded_defaults
from eomtlib.study.records.kinds import Record, TimingRecord, TrainingRecord
from eomtlib.study.records.store import fastest, in_turns
from eomtlib.training.recipes import recipe

FIRST, LAST = "vit-adapter-m2f", "eomt"

Chosen = tuple[pd.DataFrame, list[Record]]
"""A row for each run (``frame.to_dataframe``), and their records."""


def newest(
    gallery: Path,
    pretrainings: Sequence[str] = (SHIPPED,),
    rungs: Sequence[str] = tuple(LADDER),
    duration: str = GALLERY_DURATION,
) -> Chosen:
    """The gallery's study with those pretrainings and rungs that was trained last."""
    found = []
    for folder in {path.parent for path in gallery.rglob("records") if path.is_dir()}:
        records = read_records([folder])
        trainings = [r for r in records if isinstance(r, TrainingRecord)]
        trainings = [r for r in trainings if r.pretraining in pretrainings]
        own = {r.id for r in trainings if _is_the_gallerys(r, duration=duration)}
        runs = to_dataframe(records)
        runs = run_as_built(runs[runs["training_id"].isin(own) & runs["rung"].isin(rungs)])
        runs = runs.drop_duplicates(["rung", "pretraining", "seed"], keep="last")
        if len(runs.groupby(["rung", "pretraining"])) == len(rungs) * len(pretrainings):
            ids = {*runs["training_id"], *runs["evaluation_id"], *runs["timing_id"]}
            found.append((runs, [record for record in records if record.id in ids]))
    if not found:
        raise ConfigurationError(
            f"{gallery} has no results folder with {', '.join(rungs)} at nano and pretraining "
            f"{' and '.join(pretrainings)}, trained as make ablation does with duration "
            f"{duration}."
        )
    return max(found, key=lambda study: study[0]["created"].max())


def all_ways(gallery: Path) -> Chosen:
    """Of any of our sizes, any pretraining, options and masking: of each the newest."""
    return _ways(read_records([gallery]))


def _ways(records: Sequence[Record]) -> Chosen:
    trainings = [r for r in records if isinstance(r, TrainingRecord) and r.key.size in OWN_SIZES]
    own = {r.id for r in trainings if _is_the_gallerys(r, free=("size", "options"))}
    runs = to_dataframe(records)
    runs = runs[runs["training_id"].isin(own)].drop_duplicates(
        ["rung", "size", "pretraining", "options", "inference_masking", "seed"], keep="last"
    )
    ids = {*runs["training_id"], *runs["evaluation_id"]}
    return runs, [record for record in records if record.id in ids]


def both_sizes(gallery: Path) -> Chosen:
    """EoMT and the first rung at both of our sizes, from what comes with the package.

    Timings are those of the larger size, measured in turns; how many cores a training had does not
    matter to them.
    """
    records = read_records([gallery])
    runs, used = _ways(records)
    runs = runs[(runs["pretraining"] == SHIPPED) & (runs["options"] == "")]
    runs = run_as_built(runs[runs["rung"].isin([FIRST, LAST])])
    timings = [r for r in records if isinstance(r, TimingRecord) and r.size == "micro"]
    plain = [r for r in timings if not r.options and r.masking is None]
    timed = [[r for r in plain if r.rung == rung] for rung in (FIRST, LAST)]
    if len(runs.groupby(["size", "rung"])) < 4 or not all(timed):
        raise ConfigurationError(
            f"{gallery} has not both sizes of {FIRST} and {LAST} with pretraining {SHIPPED} and "
            "timings of micro; run the notebook model_size."
        )
    ids = {*runs["training_id"], *runs["evaluation_id"]}
    chosen = [fastest(own) for own in in_turns([same_measure(own) for own in timed])]
    return runs, [*(record for record in used if record.id in ids), *chosen]


def _is_the_gallerys(
    training: TrainingRecord, free: Sequence[str] = (), duration: str = GALLERY_DURATION
) -> bool:
    """Whether the gallery's ablation trains it, but for seed, pretraining and what is free."""
    key = training.key
    size = key.size if "size" in free else "nano"
    default = embedded_defaults(size, "cpu")
    own = recipe("panoptic", "shapes", key.rung, size=size, pretraining=key.pretraining)
    same = {"size": size, "dataset": "shapes", "task": "panoptic", "recipe": in_key(own)}
    same |= {"image_size": (default.image_size,) * 2, "duration": duration}
    same |= {"batch_size": default.batch_size, "options": {}, "checkpoint": None, "stopping": None}
    same |= {"precision": "float32"}
    return key == replace(key, **{name: same[name] for name in same if name not in free})
