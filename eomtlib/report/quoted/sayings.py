"""What is quoted: from runs and their records to a sentence or a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from eomtlib.core.escaping import for_markdown
from eomtlib.core.words import SHIPPED
from eomtlib.models.ladder import LADDER
from eomtlib.report.claims import claim_table
from eomtlib.report.papers.printed import load_paper_table
from eomtlib.report.quoted.runs import FIRST, LAST
from eomtlib.report.timings import apart
from eomtlib.report.uncertainty import differences, estimates, over_seeds
from eomtlib.study.records.kinds import Record, TimingRecord

_PRINTED = "ViT-L, DINOv2, COCO at 640, an H100; EoMT, Table 1"


def headline(runs: pd.DataFrame, used: Sequence[Record]) -> str:
    """EoMT beside ViT-Adapter + Mask2Former: speed and PQ, here and as printed."""
    fps = runs.groupby("rung")["fps"].first()
    printed = load_paper_table("eomt_table1_ladder").set_index("rung")
    gap = estimates(_gaps(runs), ["rung"]).loc[LAST]
    return (
        f"EoMT is {fps[LAST] / fps[FIRST]:.1f} times as fast as {LADDER[FIRST].title} here: "
        f"{fps[LAST]:.0f} images a second against {fps[FIRST]:.0f}. "
        f"It loses {_written(-gap['gain'])} points of PQ ({_interval(gap, lost=True)}). "
        f"The paper prints {printed['fps'][LAST] / printed['fps'][FIRST]:.1f} times and "
        f"{printed['pq'][FIRST] - printed['pq'][LAST]:.1f} points ({_PRINTED})."
    )


def shorter(runs: pd.DataFrame, used: Sequence[Record]) -> str:
    """EoMT beside ViT-Adapter + Mask2Former after another number of steps."""
    reached = over_seeds(runs, ["rung"])["pq"]
    gap = estimates(_gaps(runs), ["rung"]).loc[LAST]
    return (
        f"After {runs['steps'].iloc[0]:,} steps EoMT has {_written(reached[LAST])} PQ, "
        f"{LADDER[FIRST].title} {_written(reached[FIRST])}. It loses {_written(-gap['gain'])} "
        f"points ({_interval(gap, lost=True)})."
    )


def ladder(runs: pd.DataFrame, used: Sequence[Record]) -> str:
    """PQ, FPS and steps of the seven rungs, and what the paper prints that may be compared."""
    names = list(LADDER)
    above = dict(zip(names[1:], names, strict=False))
    here = over_seeds(runs, ["rung"])
    steps = estimates(differences(runs, axis="rung", base=above), ["rung"])
    printed = load_paper_table("eomt_table1_ladder").set_index("rung").reindex(names)
    heads = ["rung", "PQ here", "against the rung above", "the paper's"]
    heads += ["FPS here", "times the first", "the paper's"]
    rows = [heads, ["---"] * len(heads)]
    for name in names:
        paper = printed["pq"][name] - printed["pq"].get(above.get(name), math.nan)
        step, ends = "–", ""
        if name in above:
            step, ends = _written(steps["gain"][name], "+"), _ends(steps.loc[name], "_all")
        said = _bracketed(step, ends)
        rows.append(
            [
                f"`{name}`: {LADDER[name].title}",
                "\u00a0±\u00a0".join(
                    _written(here[n][name]) for n in ("pq", "pq_std") if here[n][name] >= 0
                ),
                f"**{said}**" if name in above and steps["settled"][name] else said,
                _written(paper, "+"),
                f"{here['fps'][name]:.0f}",
                *(_written(table["fps"][name] / table["fps"][FIRST]) for table in (here, printed)),
            ]
        )
    timing = next(record for record in used if isinstance(record, TimingRecord))
    size, first = runs["params_m"], runs.iloc[0]
    said = [
        f"Here: `nano` ({size.min():.1f} to {size.max():.1f} M parameters), pretraining "
        f"`{first['pretraining']}`, `shapes` at {first['input_size'].replace('x', '×')}, "
        f"{first['steps']:,} steps of batch {first['batch_size']}; "
        f"FPS {timing.mode}, {timing.dtype}, {for_markdown(timing.machine)}",
        f"The paper's: {_PRINTED}; PMT stands in another",
        f"± is the standard deviation; brackets are intervals for all {len(steps)} steps at once, "
        f"{_of_seeds(steps.iloc[0])}; bold is what the seeds settle"
        if steps["seeds"].max() > 1
        else "One seed settles nothing",
        apart([record for record in used if isinstance(record, TimingRecord)]),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", ". ".join(text for text in said if text) + "."])


def spread(runs: pd.DataFrame, used: Sequence[Record]) -> str:
    """How far trainings that differ in nothing but the seed lie apart."""
    of_one = runs.groupby("rung")["pq"]
    free, reach = of_one.count() - 1, of_one.max() - of_one.min()
    if not free.any():
        return "One seed has no spread."
    pooled = ((of_one.var() * free).sum() / free.sum()) ** 0.5
    return (
        f"Another seed moves PQ by {pooled:.1f} points (standard deviation, pooled over "
        f"{len(runs)} trainings of {len(free)} rungs); the two furthest apart of one rung "
        f"(`{reach.idxmax()}`) differ by {reach.max():.1f}."
    )


def pretraining(runs: pd.DataFrame, used: Sequence[Record]) -> str:
    """Whether EoMT's gap closes where the ViT starts from what comes with the package."""
    gaps = _gaps(runs, within=["pretraining"])
    own = estimates(gaps, ["pretraining"]).loc[[SHIPPED, "none"]]
    shipped, none = (
        _bracketed(_written(-row["gain"]), _ends(row, lost=True)) for _, row in own.iterrows()
    )
    closed = differences(gaps, axis="pretraining", base="none", within=["rung"], metric="gain")
    change = estimates(closed, ["pretraining"]).iloc[0]
    return (
        f"EoMT lies {shipped} points of PQ behind {LADDER[FIRST].title} with the pretrained ViT "
        f"(`{SHIPPED}`), and {none} without pretraining. The gap closes by "
        f"{_written(change['gain'])} ({_interval(change)}): "
        f"{'settled' if change['settled'] else 'not settled'}."
    )


def larger(runs: pd.DataFrame, used: Sequence[Record]) -> str:
    """EoMT at the larger of our sizes, beside the first rung there and at the smaller one."""
    gap = estimates(_gaps(runs, within=["size"]), ["size"]).loc["micro"]
    here = over_seeds(runs, ["size", "rung"])
    fps = {record.rung: record.fps_model for record in used if isinstance(record, TimingRecord)}
    return (
        f"At `micro` EoMT lies {_written(-gap['gain'])} points of PQ behind {LADDER[FIRST].title} "
        f"({_interval(gap, lost=True)}), {fps[LAST] / fps[FIRST]:.1f} times as fast. Its "
        f"{_written(here['pq']['micro', LAST])} PQ stand beside "
        f"{_written(here['pq']['nano', FIRST])} of {LADDER[FIRST].title} at `nano`."
    )


def claims(runs: pd.DataFrame, used: Sequence[Record]) -> str:
    """What the papers claim, theirs and ours, in points of PQ."""
    table = claim_table(runs)
    rows = [["difference, in points of PQ", "the papers'", "here", "seeds"], ["---"] * 4]
    for claim, row in table.iterrows():
        said = _bracketed(_written(row["gain"], "+"), _ends(row, "_all"))
        said = f"**{said}**" if row["settled"] else said
        rows.append([str(claim), _written(row["printed"], "+"), said, str(row["seeds"])])
    return "\n".join(
        [
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
            "The papers' are of ViT-L on COCO: pretraining from DeiT-III on ImageNet-1k to DINOv2, "
            "sizes from S to L, the frozen encoder with DINOv3. "
            f"`{SHIPPED}` of the two sizes had different teachers: there size and pretraining "
            "differ. "
            f"Brackets are 95\u00a0% intervals for all {len(table)} rows at once, wider than for "
            "one; bold is what seeds settle.",
        ]
    )


def _gaps(runs: pd.DataFrame, within: Sequence[str] = ()) -> pd.DataFrame:
    """Of EoMT to the first rung, seed by seed."""
    gaps = differences(runs, axis="rung", base=FIRST, within=within)
    return gaps[gaps["rung"] == LAST]


def _interval(row: pd.Series, *, lost: bool = False) -> str:
    """Of a gain, or of what is lost, and how many seeds it is from."""
    return "; ".join(text for text in (_ends(row, lost=lost), _of_seeds(row)) if text)


def _ends(row: pd.Series, of_all: str = "", *, lost: bool = False) -> str:
    """The smaller end first, with signs unless it is of what is lost; empty for one seed."""
    ends = row[[f"low{of_all}", f"high{of_all}"]].astype(float)
    low, high = -ends[::-1] if lost else ends
    return (
        ""
        if math.isnan(low)
        else " to ".join(_written(v, "" if lost else "+") for v in (low, high))
    )


def _bracketed(value: str, ends: str) -> str:
    return f"{value} ({ends})" if ends else value


def _of_seeds(row: pd.Series) -> str:
    return (
        f"95\u00a0% over {row['seeds']} seeds" if row["seeds"] > 1 else "one seed settles nothing"
    )


def _written(value: float, sign: str = "") -> str:
    return "–" if math.isnan(value) else f"{value:{sign}.1f}".replace("-", "−")
