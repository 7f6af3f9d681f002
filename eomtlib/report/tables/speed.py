"""The speed of every rung and size on this machine, beside what the papers print."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from copy import deepcopy
from functools import partial
from statistics import median

import pandas as pd
import torch

from eomtlib.core.words import COST_IMAGE_SIZE
from eomtlib.data.feed.transforms import EvalTransform
from eomtlib.evaluation.costs import count_parameters
from eomtlib.evaluation.speed import time_in_turns
from eomtlib.inference.folding import fold
from eomtlib.inference.row_attention import autocast_inference
from eomtlib.models.ladder import LADDER
from eomtlib.models.pmt import PMT
from eomtlib.models.shared_encoder import SharedEncoder
from eomtlib.report.papers.catalogue import PRINTED_TABLES
from eomtlib.report.papers.printed import load_paper_table
from eomtlib.report.timings import by_time, doubts, doubts_between, representative, spread
from eomtlib.study.records.keys import Architecture
from eomtlib.study.records.kinds import TimingRecord
from eomtlib.study.runs.run import Run

_PAIRS = 7


def speed_table(records: Iterable[TimingRecord]) -> pd.DataFrame:
    """One row for each architecture, mode, sampler and precision, the newest timing of each.

    *EoMT, times as fast* is EoMT's FPS of the same mode by this one's: what a rung loses to its
    sampler shows between its two rows. It is of one session where there is such an EoMT.

    *FPS printed* is the paper's FPS of that rung, size and pretraining, on an H100, compiled, in
    mixed precision; empty where the paper prints none. *remarks* say what speaks against a row:
    that a timing is not steady, that end to end is faster than the model alone, or that the ratio
    is of timings from different sessions or versions.
    """
    printed = _printed("fps")
    records = list(records)
    newest = {_way(r): r for r in by_time(records)}
    of_eomt = [r for r in by_time(records) if r.rung == "eomt"]
    eomt = {_setting(r): r for r in of_eomt} | {(*_setting(r), r.session): r for r in of_eomt}
    rows = []
    for r in [newest[way] for way in dict.fromkeys(map(_way, records))]:
        other = eomt.get((*_setting(r), r.session), eomt.get(_setting(r)))
        remarks = doubts(r)
        if other is not None:
            remarks += [f"EoMT timed {doubt}" for doubt in doubts_between(r, other)]
        rows.append(
            {
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
                "FPS ± (%)": spread(r),
                "FPS end to end": r.fps_end_to_end,
                "of an image": "×".join(map(str, r.photo_size)) if r.photo_size else "–",
                "EoMT, times as fast": other.fps_model / r.fps_model if other else math.nan,
                "FPS printed (H100)": printed.get(_named(r)) if _is_of_papers_size(r) else None,
                "remarks": "; ".join(remarks),
            }
        )
    return pd.DataFrame(rows).astype({"FPS printed (H100)": "Float64"})


def accuracy_beside_speed(records: Iterable[TimingRecord]) -> pd.DataFrame:
    """The papers' PQ on COCO beside the FPS measured here, each model's fastest mode and sampler.

    Of each mode and sampler the newest timing is taken. Speed does not depend on weights, so a
    timing without pretraining stands for the first printed one of its architecture. Columns
    ``size``, ``pretraining`` (the printed one), ``rung``, ``pq`` and ``fps``; for the second kind
    of Pareto plot, which is for whoever has not the weeks of training.
    """
    pq = _printed("pq")
    timings: defaultdict[tuple[str, str, str], list[TimingRecord]] = defaultdict(list)
    for r in filter(_is_of_papers_size, records):
        for rung, size, given in dict.fromkeys((_named(r), *pq)):
            own = Architecture.of_rung(rung, size=size, pretraining=given)
            if (rung, size, given) in pq and own.agrees(r.key.architecture):
                timings[rung, size, given].append(r)
                break
    rows = [
        (size, given, rung, pq[rung, size, given], representative(own).fps_model)
        for (rung, size, given), own in timings.items()
    ]
    return pd.DataFrame(rows, columns=["size", "pretraining", "rung", "pq", "fps"])


def shared_encoder_table(run: Run, *, most: int = 4) -> pd.DataFrame:
    """What several PMT decoders cost on encoders of their own and on one that they share.

    Run as inference runs, eager, in the study's precision, and timed in interleaved pairs on one
    validation image; with random weights, which cost what others do.

    Args:
        run: of ``pmt``; its size, classes, device and image size for timing are used.
        most: decoders, from 1 on.

    Returns:
        A row for each number: ``ms apart`` and ``ms shared`` (medians for all decoders together),
        ``times as fast``, and ``parameters (M)`` of both.
    """
    settings = run.settings
    size = settings.cost_image_size
    torch.manual_seed(settings.seed)
    first = run.maker.model(size, load_weights=False).eval()
    image, _ = run.materials.val_set.read(0)
    images = EvalTransform(size).fit(image)[None].to(settings.device)
    first = fold(first, precision=settings.precision).to(settings.device)
    multiplied = first.encoder.products(settings.device, settings.precision, batch_size=1)
    # What a copy shares with the first instead of copying it.
    own_encoder = {id(first.encoder): first.encoder}
    rows = []
    for count in range(1, most + 1):
        apart = [deepcopy(first) for _ in range(count)]
        shared = SharedEncoder({f"task{i}": deepcopy(first, own_encoder) for i in range(count)})
        sides = (partial(_one_by_one, apart, images), partial(shared.predict_all, images))
        with autocast_inference(settings.device, settings.precision, multiplied=multiplied):
            times = time_in_turns(sides, device=settings.device, min_rounds=_PAIRS)
        alone, together = map(median, zip(*times, strict=True))
        rows.append(
            {
                "decoders": count,
                "ms apart": 1000 * alone,
                "ms shared": 1000 * together,
                "times as fast": median(a / b for a, b in times),
                "parameters apart (M)": sum(map(count_parameters, apart)) / 1e6,
                "parameters shared (M)": count_parameters(shared) / 1e6,
            }
        )
    return pd.DataFrame(rows)


def _named(r: TimingRecord) -> tuple[str, str, str]:
    return r.rung, r.size, r.pretraining


def _is_of_papers_size(r: TimingRecord) -> bool:
    return r.cost_image_size == (COST_IMAGE_SIZE, COST_IMAGE_SIZE)


def _way(r: TimingRecord) -> tuple:
    return r.rung, r.sampler, *_setting(r)


def _setting(r: TimingRecord) -> tuple:
    """What two rungs must have in common for their speeds to be compared."""
    return r.size, r.pretraining, r.cost_image_size, r.mode, r.dtype


def _printed(column: str) -> dict[tuple[str, str, str], float]:
    """Rung, size and pretraining → what Tables 1 to 3 print, which agree where they overlap."""
    found = {}
    for table in PRINTED_TABLES[:3]:
        for row in load_paper_table(table.name).to_dict("records"):
            _, model = table.figure(row, column)
            found[model.rung, model.size, model.pretraining] = row[column]
    return found


def _one_by_one(models: Sequence[PMT], images: torch.Tensor) -> None:
    for model in models:
        model.predict_final(images)
