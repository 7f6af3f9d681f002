"""The plot that leads: of what was measured where that says something, else of what does.

After a training too short to say anything, accuracies of nearly zero would be drawn as if they
were a result. Then the papers' accuracies stand at the speed measured here; and where no paper
prints any of these models, the speed stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from eomtlib.core.words import ACCURACIES
from eomtlib.models.ladder import LADDER
from eomtlib.report import plots
from eomtlib.report.frame import accuracy_of, note_beside
from eomtlib.report.tables import measured_table
from eomtlib.report.tables.speed import accuracy_beside_speed
from eomtlib.report.timings import said_of
from eomtlib.study.study import Study
from eomtlib.training.duration import parse_duration

_VIT = {"small": "ViT-S", "base": "ViT-B", "large": "ViT-L", "giant": "ViT-g"}


@dataclass(frozen=True, kw_only=True)
class Leading:
    """What the leading plot shows.

    Attributes:
        kind: ``measured``, ``printed`` (the papers' accuracies, FPS measured here) or ``speed``.
        points: one row for each model, with ``rung``, ``fps``, and the accuracy in percent
            (``pq``, ``ap`` or ``miou``; with ``_std`` over several seeds) unless kind is ``speed``.
        along: the column that changes along a rung's curve, None for one point a rung.
        title: of the plot.
        subtitle: what it was measured under.
        note: what must stand beside it.
    """

    kind: Literal["measured", "printed", "speed"]
    points: pd.DataFrame
    along: str | None
    title: str
    subtitle: str
    note: str

    def draw(self) -> Figure:
        """As ``plots.plot_pareto`` or ``plots.plot_speed`` draws it."""
        said = {"title": self.title, "subtitle": self.subtitle, "note": self.note}
        if self.kind == "speed":
            return plots.plot_speed(self.points, **said)
        label = "model" if "model" in self.points else ""
        return plots.plot_pareto(self.points, along=self.along, label=label, **said)

    @property
    def alt(self) -> str:
        """The figure in a sentence, for whoever cannot see it."""
        shown = self.points.dropna(subset=["fps"])
        figure = None if self.kind == "speed" else accuracy_of(shown)
        said = [_point(row, figure, self.along) for _, row in shown.iterrows()]
        return f"{self.title}. {'; '.join(said)}."


def says_something(study: Study, frame: pd.DataFrame) -> bool:
    """Whether the accuracies of a study are of trainings long enough to be compared."""
    return not study.label and bool(frame[accuracy_of(frame)].notna().any())


def leading(study: Study, frame: pd.DataFrame, *, along: str | None = None) -> Leading:
    """Chooses what the leading plot of a study shows.

    Args:
        study: that was run.
        frame: as ``frame.to_frame`` returns it.
        along: the column that changes along a rung's curve, such as ``size``.
    """
    own = [*([along] if along else []), "rung"]
    table = measured_table(frame, own).reset_index()
    figure = ACCURACIES[accuracy_of(frame)]
    timings = [result.timing for result in study.results]
    if says_something(study, frame):
        return Leading(
            kind="measured",
            points=table,
            along=along,
            title=f"{figure} and speed, both measured here",
            subtitle=conditions(study),
            note=note_beside(study),
        )
    note = "; ".join(text for text in said_of(timings) if text)
    why = f"{figure} measured here is left out ({study.label})" if study.label else ""
    note = "; ".join(text for text in (why, note) if text)
    printed = accuracy_beside_speed(timings)
    if len(printed):
        names = " and ".join(
            dict.fromkeys(f"{_VIT[r.size]}, {r.pretraining}" for r in printed.itertuples())
        )
        return Leading(
            kind="printed",
            points=printed,
            along=along if along in printed else None,
            title=f"PQ as printed ({names}, COCO) × FPS measured here",
            subtitle=conditions(study, trained=False),
            note=note,
        )
    return Leading(
        kind="speed",
        points=table.assign(size=frame["size"].iloc[0]) if along is None else table,
        along=along,
        title="Speed measured here",
        subtitle=conditions(study, trained=False),
        note=note,
    )


def beside_printed(lead: Leading, printed: pd.DataFrame) -> Figure | None:
    """The ladder as measured here beside the printed one, each against its own first rung.

    Args:
        lead: of a study.
        printed: EoMT's Table 1.

    Returns:
        None where PQ of the first rung was not measured, or rungs are not all that differs.
    """
    first = printed["rung"].iloc[0]
    if lead.kind != "measured" or lead.along or "pq" not in lead.points:
        return None
    if len(lead.points) < 2 or lead.points["rung"].iloc[0] != first:
        return None
    return plots.plot_beside_printed(
        {
            "Printed": ("ViT-L · DINOv2 · COCO at 640×640 · H100, compiled", printed),
            "Measured here": (lead.subtitle, lead.points),
        }
    )


def conditions(study: Study, *, trained: bool = True) -> str:
    """What figures of a study were measured under, in one line."""
    s, timing = study.settings, study.results[0].timing
    runs = [run.settings for run in study.runs]
    sizes, before = (_listed(getattr(r, name) for r in runs) for name in ("size", "pretraining"))
    seeds = len({r.seed for r in runs})
    learnt = [s.dataset, "{}×{}".format(*s.image_size), parse_duration(s.duration).said]
    learnt += [f"{seeds} seeds" if seeds > 1 else "one seed"]
    timed = ["{}×{}".format(*timing.cost_image_size)] if not trained else []
    threads = timing.environment.threads
    cores = f", {threads} thread" + "s" * (threads > 1) if s.kind == "cpu" else ""
    timed += [timing.dtype, f"{timing.environment.device}{cores}"]
    named = [sizes, f"pretraining {before}", *learnt] if trained else [f"FPS: {sizes}"]
    return " · ".join([*named, *timed])


def _point(row: pd.Series, figure: str | None, along: str | None) -> str:
    name = row.get("model", LADDER[row["rung"]].title) + (f", {row[along]}" if along else "")
    value = (
        ""
        if figure is None or pd.isna(row[figure])
        else f"{row[figure]:.1f} {ACCURACIES[figure]}, "
    )
    return f"{name}: {value}{row['fps']:.3g} FPS"


def _listed(values: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(values))
