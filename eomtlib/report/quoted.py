"""Figures that a text quotes, derived from the gallery's records.

Between ``<!-- figures: NAME -->`` and ``<!-- end -->``, which no reader sees, stands what the
function of that name in ``QUOTED`` makes of the gallery's study (``make ablation`` at the gallery's
duration). To add one, write a function from the study's runs to Markdown, and its name there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from eomtlib.core.code_digest import code_digest
from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.escaping import for_markdown
from eomtlib.core.hyperparameters import in_key
from eomtlib.core.words import OWN_SIZES, SHIPPED
from eomtlib.models.ladder import LADDER
from eomtlib.report.claims import claim_table
from eomtlib.report.frame import run_as_built, to_dataframe
from eomtlib.report.papers.filling import read_records
from eomtlib.report.papers.printed import load_paper_table
from eomtlib.report.timings import apart, same_measure
from eomtlib.report.uncertainty import differences, estimates, over_seeds
from eomtlib.study.parameters.defaults import GALLERY_DURATION, embedded_defaults
from eomtlib.study.records.kinds import EvaluationRecord, Record, TimingRecord, TrainingRecord
from eomtlib.study.records.store import fastest, in_turns
from eomtlib.study.runs.identity import METHODS
from eomtlib.training.recipes import recipe

_REGION = re.compile(
    r"(<!-- figures: ([^\n]*?) -->\n)((?:(?!<!-- figures:).)*?)(<!-- end -->)", re.DOTALL
)
_FIRST, _LAST = "vit-adapter-m2f", "eomt"
_PRINTED = "ViT-L, DINOv2, COCO at 640, an H100; EoMT, Table 1"


def quote(text: str, gallery: Path) -> str:
    """A Markdown text with its regions of figures as the gallery's records have them.

    Each is of the results folder that was trained last among those that have every rung. It ends
    with the commits that were measured, and says where the code has changed since.

    Args:
        text: may have no region.
        gallery: a folder of results folders.

    Raises:
        ConfigurationError: for a name that is not known, a region without an end, or where the
            gallery does not have what is asked for.
    """
    if len(_REGION.findall(text)) != text.count("<!-- figures:"):
        raise ConfigurationError("A line <!-- figures: NAME --> has no <!-- end --> behind it.")

    def written(region: re.Match[str]) -> str:
        start, name, _, end = region.groups()
        say, chosen = QUOTED[check_choice("figures", name, QUOTED)]
        runs, used = chosen(gallery)
        return f"{start}{say(runs, used)}\n\n<sub>{_measured_at(used)}</sub>\n{end}"

    return _REGION.sub(written, text)


def headline(runs: pd.DataFrame, used: Sequence[Record]) -> str:
    """EoMT beside ViT-Adapter + Mask2Former: speed and PQ, here and as printed."""
    fps = runs.groupby("rung")["fps"].first()
    printed = load_paper_table("eomt_table1_ladder").set_index("rung")
    gap = estimates(differences(runs, axis="rung", base=_FIRST), ["rung"]).loc[_LAST]
    return (
        f"EoMT is {fps[_LAST] / fps[_FIRST]:.1f} times as fast as {LADDER[_FIRST].title} here: "
        f"{fps[_LAST]:.0f} images a second against {fps[_FIRST]:.0f}. "
        f"It loses {_written(-gap['gain'])} points of PQ ({_interval(gap, lost=True)}). "
        f"The paper prints {printed['fps'][_LAST] / printed['fps'][_FIRST]:.1f} times and "
        f"{printed['pq'][_FIRST] - printed['pq'][_LAST]:.1f} points ({_PRINTED})."
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
                *(_written(table["fps"][name] / table["fps"][_FIRST]) for table in (here, printed)),
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
    gaps = differences(runs, axis="rung", base=_FIRST, within=["pretraining"])
    gaps = gaps[gaps["rung"] == _LAST]
    own = estimates(gaps, ["pretraining"]).loc[[SHIPPED, "none"]]
    shipped, none = (
        _bracketed(_written(-row["gain"]), _ends(row, lost=True)) for _, row in own.iterrows()
    )
    closed = differences(gaps, axis="pretraining", base="none", within=["rung"], metric="gain")
    change = estimates(closed, ["pretraining"]).iloc[0]
    return (
        f"EoMT lies {shipped} points of PQ behind {LADDER[_FIRST].title} with the pretrained ViT "
        f"(`{SHIPPED}`), and {none} without pretraining. The gap closes by "
        f"{_written(change['gain'])} ({_interval(change)}): "
        f"{'settled' if change['settled'] else 'not settled'}."
    )


def larger(runs: pd.DataFrame, used: Sequence[Record]) -> str:
    """EoMT at the larger of our sizes, beside the first rung there and at the smaller one."""
    gaps = differences(runs, axis="rung", base=_FIRST, within=["size"])
    gap = estimates(gaps, ["size"]).loc["micro"]
    here = over_seeds(runs, ["size", "rung"])
    fps = {record.rung: record.fps_model for record in used if isinstance(record, TimingRecord)}
    return (
        f"At `micro` EoMT lies {_written(-gap['gain'])} points of PQ behind {LADDER[_FIRST].title} "
        f"({_interval(gap, lost=True)}), {fps[_LAST] / fps[_FIRST]:.1f} times as fast. Its "
        f"{_written(here['pq']['micro', _LAST])} PQ stand beside "
        f"{_written(here['pq']['nano', _FIRST])} of {LADDER[_FIRST].title} at `nano`."
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


Chosen = tuple[pd.DataFrame, list[Record]]
"""A row for each run (``frame.to_dataframe``), and their records."""


def _newest(
    gallery: Path, pretrainings: Sequence[str] = (SHIPPED,), rungs: Sequence[str] = tuple(LADDER)
) -> Chosen:
    """The gallery's study with those pretrainings and rungs that was trained last."""
    found = []
    for folder in {path.parent for path in gallery.rglob("records") if path.is_dir()}:
        records = read_records([folder])
        trainings = [r for r in records if isinstance(r, TrainingRecord)]
        own = {r.id for r in trainings if r.pretraining in pretrainings and _is_the_gallerys(r)}
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
            f"{GALLERY_DURATION}."
        )
    return max(found, key=lambda study: study[0]["created"].max())


def _all_ways(gallery: Path) -> Chosen:
    """What differs from it in size, pretraining, options or masking: the newest."""
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


def _both_sizes(gallery: Path) -> Chosen:
    """EoMT and the first rung at both of our sizes, from what comes with the package.

    Timings are those of the larger size, measured in turns; how many cores a training had does not
    matter to them.
    """
    records = read_records([gallery])
    runs, used = _ways(records)
    runs = runs[(runs["pretraining"] == SHIPPED) & (runs["options"] == "")]
    runs = run_as_built(runs[runs["rung"].isin([_FIRST, _LAST])])
    timings = [r for r in records if isinstance(r, TimingRecord) and r.size == "micro"]
    plain = [r for r in timings if not r.options and r.masking is None]
    timed = [[r for r in plain if r.rung == rung] for rung in (_FIRST, _LAST)]
    if len(runs.groupby(["size", "rung"])) < 4 or not all(timed):
        raise ConfigurationError(
            f"{gallery} has not both sizes of {_FIRST} and {_LAST} with pretraining {SHIPPED} and "
            "timings of micro; run the notebook model_size."
        )
    ids = {*runs["training_id"], *runs["evaluation_id"]}
    chosen = [fastest(own) for own in in_turns([same_measure(own) for own in timed])]
    return runs, [*(record for record in used if record.id in ids), *chosen]


QUOTED: dict[
    str, tuple[Callable[[pd.DataFrame, Sequence[Record]], str], Callable[[Path], Chosen]]
] = {
    "headline": (headline, _newest),
    "ladder": (ladder, _newest),
    "spread": (spread, _newest),
    "pretraining": (
        pretraining,
        partial(_newest, pretrainings=["none", SHIPPED], rungs=[_FIRST, _LAST]),
    ),
    "larger": (larger, _both_sizes),
    "claims": (claims, _all_ways),
}
"""Name of a region → what writes it, and which of the gallery's runs it is written from."""


def _is_the_gallerys(training: TrainingRecord, free: Sequence[str] = ()) -> bool:
    """Whether the gallery's ablation trains it, but for seed, pretraining and what is free."""
    key = training.key
    size = key.size if "size" in free else "nano"
    default = embedded_defaults(size, "cpu")
    own = recipe("panoptic", "shapes", key.rung, size=size, pretraining=key.pretraining)
    same = {"size": size, "dataset": "shapes", "task": "panoptic", "recipe": in_key(own)}
    same |= {"image_size": (default.image_size,) * 2, "duration": GALLERY_DURATION}
    same |= {"batch_size": default.batch_size, "options": {}, "checkpoint": None, "stopping": None}
    same |= {"precision": "float32"}
    return key == replace(key, **{name: same[name] for name in same if name not in free})


def _measured_at(used: Sequence[Record]) -> str:
    """The commits that were trained, and whether the code is still what it was."""
    trainings = [record for record in used if isinstance(record, TrainingRecord)]
    commits = [(r.environment.commit or "an unknown commit").split("-") for r in trainings]
    short = dict.fromkeys("-".join([digits[:7], *dirty]) for digits, *dirty in commits)
    is_same = all(r.code == code_digest() and r.methods == METHODS for r in trainings) and all(
        _methods(record).items() <= METHODS.items() for record in used
    )
    return f"measured at {', '.join(short)}" + ("" if is_same else "; the code has changed since")


def _methods(record: Record) -> dict[str, int]:
    if isinstance(record, EvaluationRecord):
        return {"evaluation": record.method, "post_processing": record.post_processing}
    return {"timing": record.method} if isinstance(record, TimingRecord) else {}


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
