"""The papers' claims beside what was measured here, as differences: one table for all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from eomtlib.core.words import SHIPPED
from eomtlib.report.frame import run_as_built
from eomtlib.report.papers.printed import load_paper_table
from eomtlib.report.uncertainty import differences, estimates

_BASE, _EOMT = "vit-adapter-m2f", "eomt"
_WAYS = {
    ("eomt-masked", "", "masked"): ("masked", "masked"),
    ("eomt-masked", "", "unmasked"): ("masked", "unmasked"),
    ("eomt", "masking=unmasked", "unmasked"): ("unmasked", "unmasked"),
    ("eomt", "", "unmasked"): ("annealed", "unmasked"),
}
"""Rung, options, masking at inference → masking in training and at inference (Table 7)."""

_NOT_PRINTED = math.nan
"""Other pretrainings than ``SHIPPED``, our counterpart of DINOv2 and DINOv3, have none there."""

Part = tuple[str, float, pd.DataFrame]
"""What is compared, what the paper prints for it, and a row for each seed with its ``gain``."""


def claim_table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each claim that the runs say something of, in points of PQ.

    Args:
        runs: a row for each evaluation, as ``frame.to_dataframe`` has them; one for each seed of
            what differs in rung, size, pretraining, options or masking.

    Returns:
        Indexed by what is compared: ``printed``, the paper's, NaN where it has none, and
        ``uncertainty.estimates``, whose intervals hold for all rows at once.
    """
    parts = [(claim, paper, gains) for claim, paper, gains in _parts(runs) if len(gains)]
    if not parts:
        return pd.DataFrame()
    gains = pd.concat([gains.assign(claim=claim) for claim, _, gains in parts])
    printed = pd.Series({claim: paper for claim, paper, _ in parts}, name="printed", dtype=float)
    return pd.concat([printed, estimates(gains, ["claim"])], axis=1)


def _parts(runs: pd.DataFrame) -> Iterator[Part]:
    own = run_as_built(runs[runs["options"] == ""])
    gaps = differences(own, axis="rung", base=_BASE, within=["size", "pretraining"])
    gaps = gaps[gaps["rung"] == _EOMT]
    by_pretraining, by_size = (
        _printed_gap(f"eomt_table{name}") for name in ("2_pretraining", "3_size")
    )
    printed = {
        "pretraining": by_pretraining["deit3-in1k"] - by_pretraining["dinov2"],
        "size": by_size["small"] - by_size["large"],
    }
    for axis, base, within in (("pretraining", "none", "size"), ("size", "nano", "pretraining")):
        closed = differences(gaps, axis=axis, base=base, within=["rung", within], metric="gain")
        for (beside, to), gains in closed.groupby([within, axis], sort=False):
            said = f"`eomt`'s gap closes, {axis} `{base}` → `{to}`, `{beside}`"
            yield said, printed[axis] if SHIPPED in (beside, to) else _NOT_PRINTED, gains
    nano = runs[runs["size"] == "nano"]
    yield from _masks(nano[nano["pretraining"] == SHIPPED])
    frozen = differences(
        own[own["size"] == "nano"], axis="rung", base=_EOMT, within=["pretraining"]
    )
    for name, gains in frozen[frozen["rung"] == "pmt"].groupby("pretraining", sort=False):
        printed = _printed_frozen() if name == SHIPPED else _NOT_PRINTED
        yield f"encoder frozen: `pmt` against `eomt`, `{name}`", printed, gains


def _masks(runs: pd.DataFrame) -> Iterator[Part]:
    keys = zip(runs["rung"], runs["options"], runs["inference_masking"], strict=True)
    ways = runs.assign(way=[_WAYS.get(key) for key in keys]).dropna(subset=["way"])
    printed = load_paper_table("eomt_table7_mask_annealing").set_index(["train", "inference"])
    paper = printed["pq_eomt"] - printed["pq_eomt"]["masked", "masked"]
    gains = differences(ways, axis="way", base=("masked", "masked"))
    for (trained, run), own in gains.groupby("way", sort=False):
        yield f"`eomt` trained {trained}, run {run}, against masked", paper[trained, run], own


def _printed_gap(name: str) -> pd.Series:
    printed = load_paper_table(name)
    wide = printed.pivot(index=printed.columns[0], columns="rung", values="pq")
    return wide[_BASE] - wide[_EOMT]


def _printed_frozen() -> float:
    """On COCO at 640 with DINOv3, ViT-L: PMT's table less EoMT's model zoo."""
    both = []
    for name in ("pmt_image", "eomt_modelzoo_dinov3"):
        printed = load_paper_table(name).set_index(["size", "task", "dataset", "input"])
        both.append(printed["value"]["large", "panoptic", "coco", 640])
    return both[0] - both[1]
