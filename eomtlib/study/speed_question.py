"""The speed of every rung at every size on this machine, beside what the papers print.

Nothing is trained and no weights are needed: an architecture's speed does not depend on them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.words import OWN_SIZES, PAPER_SIZES, PRETRAININGS, SIZES
from eomtlib.models.encoders import has_encoder
from eomtlib.models.ladder import HEAD_SIZES, LADDER
from eomtlib.study.defaults import COST_IMAGE_SIZE
from eomtlib.study.parameters import as_list, parse_rungs, resolve_device
from eomtlib.study.records import TimingRecord
from eomtlib.study.store import paper_models
from eomtlib.study.study import Study


def time_ladder(
    *,
    sizes: str | Sequence[str] = "",
    pretrainings: str | Sequence[str] = "dinov2",
    rungs: str | Sequence[str] = "all",
    timing_modes: str | Sequence[str] = "",
    samplers: str | Sequence[str] = "",
    device: str = "auto",
    precision: str = "auto",
    image_size: int | None = None,
    results_dir: str | Path = "results/runs",
    progress: bool = True,
) -> list[TimingRecord]:
    """Times rungs × sizes × pretrainings × modes × samplers; what is timed already is found again.

    Args:
        sizes: of the encoder; by default the papers' on a GPU, ``nano`` on a CPU. Sizes of our own
            have no pretraining.
        pretrainings: architectures of the encoder; a pair that does not exist is left out.
        rungs: names, or ``all``.
        timing_modes: of ``timing.TIMING_MODES``; by default eager, on a GPU compiled as well.
        samplers: of deformable attention, ``pytorch``, ``triton``, for the rungs that have it; by
            default ``pytorch``, on a GPU with Triton both.
        device: to time on.
        precision: ``auto`` or a name.
        image_size: side of the square input; 640, and 64 for our own sizes, when None.
        results_dir: where records are looked for and written.
        progress: whether notices are shown.

    Returns:
        The records of this machine that are of these models, model by model.

    Raises:
        ConfigurationError: for an unknown name, or where no size has any of the pretrainings.
    """
    chosen = parse_rungs(rungs)
    default = ("nano",) if resolve_device(device) == "cpu" else PAPER_SIZES
    sizes = as_list("sizes", sizes or default, SIZES)
    pretrainings = as_list("pretrainings", pretrainings, PRETRAININGS)
    pairs = [
        (size, pretraining)
        for size in sizes
        for pretraining in (("none",) if size in OWN_SIZES else pretrainings)
        if has_encoder(size, pretraining)
    ]
    if not pairs:
        raise ConfigurationError(
            f"sizes={', '.join(sizes)} and pretrainings={', '.join(pretrainings)} have no encoder "
            "in common; add another of either."
        )
    records: list[TimingRecord] = []
    for size, pretraining in pairs:
        study = Study(
            size=size,
            pretraining=pretraining,
            image_size=image_size or (64 if size in OWN_SIZES else COST_IMAGE_SIZE),
            # One image of the input's size, for the way from image to segmentation.
            train_images=1,
            val_images=1,
            train=False,
            device=device,
            precision=precision,
            timing_modes=timing_modes,
            samplers=samplers,
            results_dir=results_dir,
            progress=progress,
        )
        for result in study.run_all(chosen):
            records += result.timings
    return records


def speed_table(records: Iterable[TimingRecord]) -> pd.DataFrame:
    """One row for each architecture, mode, sampler and precision, the newest timing of each.

    *EoMT, times as fast* is EoMT's FPS of the same mode by this one's: what a rung loses to its
    sampler shows between its two rows.

    The last column is the paper's FPS of that rung, size and pretraining, on an H100, compiled, in
    mixed precision; empty where the paper prints none.
    """
    printed = _printed("fps")
    rows: dict[tuple, dict[str, object]] = {}
    records = list(records)
    eomt = {_setting(r): r.fps_model for r in records if r.rung == "eomt"}
    for r in records:
        key = (r.rung, r.sampler, *_setting(r))
        rows[key] = {
            "size": r.size,
            "pretraining": r.pretraining,
            "rung": r.rung,
            "input": "{}×{}".format(*r.cost_image_size),
            "mode": r.mode,
            "sampler": r.sampler if LADDER[r.rung].has_deformable_attention else "–",
            "dtype": r.dtype,
            "attention": r.attention_kernel,
            "params (M)": r.params_m,
            "GMACs": r.gmacs,
            "FPS": r.fps_model,
            "FPS end to end": r.fps_end_to_end,
            "EoMT, times as fast": eomt.get(_setting(r), math.nan) / r.fps_model,
            "FPS printed (H100)": printed.get((r.rung, r.size, r.pretraining))
            if r.cost_image_size == (COST_IMAGE_SIZE, COST_IMAGE_SIZE)
            else None,
        }
    return pd.DataFrame(list(rows.values())).astype({"FPS printed (H100)": "Float64"})


def accuracy_beside_speed(records: Iterable[TimingRecord]) -> pd.DataFrame:
    """The papers' PQ on COCO beside the FPS measured here, each model's fastest mode and sampler.

    Columns ``size``, ``pretraining``, ``rung``, ``pq`` and ``fps``; for the second kind of Pareto
    plot, which is for whoever has a GPU but not the weeks of training.
    """
    pq = _printed("pq")
    best: dict[tuple[str, str, str], float] = {}
    for r in records:
        key = (r.rung, r.size, r.pretraining)
        if key in pq and _is_as_printed(r):
            best[key] = max(r.fps_model, best.get(key, 0.0))
    return pd.DataFrame(
        [
            {"size": key[1], "pretraining": key[2], "rung": key[0], "pq": pq[key], "fps": fps}
            for key, fps in best.items()
        ],
        columns=["size", "pretraining", "rung", "pq", "fps"],
    )


def _is_as_printed(r: TimingRecord) -> bool:
    """Whether a timing is of a rung as the papers build and run it."""
    size = (COST_IMAGE_SIZE, COST_IMAGE_SIZE)
    queries = HEAD_SIZES[r.size].num_queries
    return r.cost_image_size == size and r.num_queries == queries and not (r.masking or r.options)


def _setting(r: TimingRecord) -> tuple:
    """What two rungs must have in common for their speeds to be compared."""
    return r.size, r.pretraining, r.cost_image_size, r.mode, r.dtype


def _printed(column: str) -> dict[tuple[str, str, str], float]:
    """Rung, size and pretraining → what Tables 1 to 3 print, which agree where they overlap."""
    tables = ("eomt_table1_ladder", "eomt_table2_pretraining", "eomt_table3_size")
    return {
        (row["rung"], row["size"], row["pretraining"]): row[column]
        for name in tables
        for row in paper_models(name)
    }
